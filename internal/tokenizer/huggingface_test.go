package tokenizer

import (
	"encoding/json"
	"testing"
)

// TestHuggingFace checks what the files say of a small vocabulary; the fixtures of
// package lora were made by the libraries that read them.
func TestHuggingFace(t *testing.T) {
	tk := mustNew(t, smallConfig("smollm"))
	files, err := tk.HuggingFace("<MARK_L>", "<MARK_R>")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Added []struct {
			ID      int
			Content string
			Special bool
		} `json:"added_tokens"`
		Model struct {
			Vocab  map[string]int
			Merges [][2]string
		}
	}
	data, err := json.Marshal(files["tokenizer.json"])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	last := got.Added[len(got.Added)-1]
	if last.ID != tk.Size()+1 || last.Content != "<MARK_R>" || !last.Special {
		t.Errorf("the last added token is %+v", last)
	}
	if len(got.Model.Vocab) != tk.Size() || len(got.Model.Merges) != len(tk.config.Merges) {
		t.Errorf("%d tokens and %d merges", len(got.Model.Vocab), len(got.Model.Merges))
	}
	if _, err := tk.HuggingFace(tk.config.Tokens[0]); err == nil {
		t.Error("a token was added that is there")
	}
}
