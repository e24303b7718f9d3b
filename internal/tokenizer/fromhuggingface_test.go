package tokenizer

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// written returns the files that HuggingFace makes, with texts replaced in tokenizer.json.
func written(t testing.TB, tk *Tokenizer, replace ...string) fstest.MapFS {
	t.Helper()
	all, err := tk.HuggingFace()
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	for name, content := range all {
		data, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		if name == "tokenizer.json" {
			data = []byte(strings.NewReplacer(replace...).Replace(string(data)))
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	return files
}

// TestFromHuggingFace: what we write for Hugging Face's libraries is read back as the same
// tokenizer; package model compares files of theirs.
func TestFromHuggingFace(t *testing.T) {
	for _, pre := range []string{"gpt-2", "smollm", "llama-bpe", "qwen2"} {
		want := mustNew(t, smallConfig(pre))
		got, err := FromHuggingFace(written(t, want))
		if err != nil {
			t.Fatalf("%s: %v", pre, err)
		}
		if got.Digest() != want.Digest() || got.BOS() != want.BOS() || got.EOS() != want.EOS() {
			t.Errorf("%s: another tokenizer came back", pre)
		}
		const text = "it's 1234 déjà\n\n  vu"
		if a, b := got.Encode(text), want.Encode(text); !slices.Equal(a, b) {
			t.Errorf("%s: %v, want %v", pre, a, b)
		}
	}
}

// TestFromHuggingFaceFiles: the forms in which settings come.
func TestFromHuggingFaceFiles(t *testing.T) {
	tk := mustNew(t, smallConfig("smollm"))
	files := written(t, tk)
	name := tk.config.Tokens[0]
	files["tokenizer_config.json"] = &fstest.MapFile{Data: []byte(`{"eos_token": {"content": "` + name + `"}, "bos_token": null, "chat_template": [
		{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]}`)}
	got, err := FromHuggingFace(files)
	if err != nil {
		t.Fatal(err)
	}
	if got.EOS() != 0 || got.BOS() != -1 || got.config.ChatTemplate != "yes" {
		t.Errorf("EOS %d, BOS %d, template %q", got.EOS(), got.BOS(), got.config.ChatTemplate)
	}
	files["chat_template.jinja"] = &fstest.MapFile{Data: []byte("file")}
	delete(files, "tokenizer_config.json")
	if got, err = FromHuggingFace(files); err != nil || got.config.ChatTemplate != "file" || got.EOS() != -1 {
		t.Errorf("%v, without settings: %+v", err, got)
	}
}

func TestFromHuggingFaceRefuses(t *testing.T) {
	tk := mustNew(t, smallConfig("smollm"))
	for want, replace := range map[string][]string{
		`the type "WordPiece"`:       {`"type":"BPE"`, `"type":"WordPiece"`},
		`"Digits in groups" is not`:  {`"individual_digits":true`, `"individual_digits":false`},
		`the normalizer "Lowercase"`: {`"normalizer":null`, `"normalizer":{"type":"Lowercase"}`},
		`has the id -1`:              {`"vocab":{`, `"vocab":{"extra":-1,`},
		`has the id 99999999`:        {`"added_tokens":[`, `"added_tokens":[{"id":99999999,"content":"x"},`},
		`both have the id 3`:         {`"vocab":{`, `"vocab":{"extra":3,`},
		`tokenizer.json: `:           {`"merges":[`, `"merges":[7,`},
	} {
		_, err := FromHuggingFace(written(t, tk, replace...))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %s", err, want)
		}
	}
	if _, err := FromHuggingFace(fstest.MapFS{}); err == nil || !strings.Contains(err.Error(), "there is no tokenizer.json") {
		t.Errorf("error %v of an empty directory", err)
	}
}

func FuzzFromHuggingFace(f *testing.F) {
	for _, pre := range []string{"smollm", "llama-bpe"} {
		files := written(f, mustNew(f, smallConfig(pre)))
		f.Add(files["tokenizer.json"].Data, files["tokenizer_config.json"].Data)
	}
	f.Add([]byte(`{"model":{"type":"BPE","byte_fallback":true,"fuse_unk":true,"unk_token":"<unk>","vocab":{"<unk>":0,"▁":1,"a":2,"▁a":3,"<0x41>":4},"merges":[["▁","a"]]},
		"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},
		"added_tokens":[{"id":5,"content":"<x>","special":true,"lstrip":true,"rstrip":true},{"id":6,"content":"them","single_word":true,"normalized":true}]}`), []byte(`{"add_bos_token":true}`))
	f.Add([]byte(`{"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0.0],["▁",-2.5],["it",-3],["▁it",-3.5]]},
		"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":false}}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, tokenizer, settings []byte) {
		tk, err := FromHuggingFace(fstest.MapFS{"tokenizer.json": {Data: tokenizer}, "tokenizer_config.json": {Data: settings}})
		if err == nil {
			tk.Decode(tk.EncodeSpecial("it's 12 of\tthem <x>  \xff"))
			tk.Ends()
		}
	})
}
