package tokenizer

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// spFixture is sentencepiece.json, made by tools/reference/sentencepiece_lines.py: small vocabularies as GGUF and as Hugging
// Face stores them, and lines with their ids by Hugging Face's tokenizers.
type spFixture struct {
	Vocabularies map[string]struct {
		Tokens []string
		Types  []int32
		Scores []float64
		Prefix bool
		JSON   json.RawMessage
	}
	Lines []map[string]json.RawMessage
}

// ids gives the text of a line and its ids in a vocabulary, with special tokens recognised or not.
func (f spFixture) ids(t *testing.T, line map[string]json.RawMessage, name string) (text string, plain, special []int32) {
	t.Helper()
	for key, to := range map[string]any{"text": &text, name: &plain, name + "_special": &special} {
		if line[key] == nil {
			continue
		}
		if err := json.Unmarshal(line[key], to); err != nil {
			t.Fatal(err)
		}
	}
	if line[name+"_special"] == nil {
		special = plain
	}
	return text, plain, special
}

// config is what a GGUF file says of a vocabulary.
func (f spFixture) config(name string) Config {
	v := f.Vocabularies[name]
	return Config{Model: "llama", Tokens: v.Tokens, Types: v.Types, Scores: v.Scores, Normalize: BlankSteps(v.Prefix), ByteFallback: true, FuseUnknown: true, BOS: 1, EOS: 2, Unknown: 0, Padding: -1}
}

func TestSentencePiece(t *testing.T) {
	var f spFixture
	readFixture(t, "sentencepiece.json", &f)
	for _, name := range []string{"llama", "gemma"} {
		c := f.config(name)
		for id, token := range c.Tokens { // as converters write them
			if c.Types[id] == TypeUserDefined {
				c.Tokens[id] = strings.ReplaceAll(token, blankMark, " ")
			}
		}
		tk := mustNew(t, c)
		for _, line := range f.Lines {
			text, plain, special := f.ids(t, line, name)
			if got := tk.Encode(text); !slices.Equal(got, plain) {
				t.Errorf("%s: %q\ngot  %v\nwant %v", name, text, got, plain)
			}
			if got := tk.EncodeSpecial(text); !slices.Equal(got, special) {
				t.Errorf("%s, special: %q\ngot  %v\nwant %v", name, text, got, special)
			}
			back := tk.Decode(plain)
			if f.Vocabularies[name].Prefix {
				back = strings.TrimPrefix(back, " ")
			}
			if want := strings.ReplaceAll(text, blankMark, " "); back != want && (!f.Vocabularies[name].Prefix || !strings.Contains(text, "<tool>")) {
				t.Errorf("%s: %q decodes as %q", name, text, back)
			}
		}
	}
}

// TestTokenizerJSON reads each vocabulary as Hugging Face stores it.
func TestTokenizerJSON(t *testing.T) {
	var f spFixture
	readFixture(t, "sentencepiece.json", &f)
	for _, name := range []string{"llama", "gemma", "first", "words", "bytes", "unigram", "whole"} {
		tk, err := FromHuggingFace(fstest.MapFS{"tokenizer.json": {Data: f.Vocabularies[name].JSON}})
		if err != nil {
			t.Fatal(name, err)
		}
		for _, line := range f.Lines {
			text, plain, special := f.ids(t, line, name)
			if got := tk.Encode(text); !slices.Equal(got, plain) {
				t.Errorf("%s: %q\ngot  %v\nwant %v", name, text, got, plain)
			}
			if got := tk.EncodeSpecial(text); !slices.Equal(got, special) {
				t.Errorf("%s, special: %q\ngot  %v\nwant %v", name, text, got, special)
			}
		}
	}
}

// TestSentencePieceForHuggingFace: what is written for Hugging Face is what made the fixture's ids.
func TestSentencePieceForHuggingFace(t *testing.T) {
	var f spFixture
	readFixture(t, "sentencepiece.json", &f)
	for _, name := range []string{"llama", "gemma"} {
		files, err := mustNew(t, f.config(name)).HuggingFace()
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(files["tokenizer.json"])
		if err != nil {
			t.Fatal(err)
		}
		var got, want map[string]any
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(f.Vocabularies[name].JSON, &want); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"normalizer", "pre_tokenizer", "decoder", "model"} {
			if !reflect.DeepEqual(got[part], want[part]) {
				t.Errorf("%s: the %s is\n%.300v\nwant\n%.300v", name, part, got[part], want[part])
			}
		}
		if lead, _ := got["post_processor"].(map[string]any); lead["type"] != "TemplateProcessing" {
			t.Errorf("%s: the post-processor puts no BOS first: %v", name, lead)
		}
	}
}

// TestEncodeMore: text behind other text has no blank in front.
func TestEncodeMore(t *testing.T) {
	var f spFixture
	readFixture(t, "sentencepiece.json", &f)
	for _, name := range []string{"llama", "gemma"} {
		tk := mustNew(t, f.config(name))
		if got := tk.Decode(tk.EncodeMore("\n\n")); got != "\n\n" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestSentencePieceInvalid: bytes that are no UTF-8 are kept as their tokens.
func TestSentencePieceInvalid(t *testing.T) {
	var f spFixture
	readFixture(t, "sentencepiece.json", &f)
	tk := mustNew(t, f.config("gemma"))
	for _, text := range []string{"\xff", "caf\xe9 x", "cut \xe2\x82", "\xe2\x96\x81\xe2\x96", string([]byte{0, 255, 128})} {
		if got := tk.Decode(tk.Encode(text)); got != strings.ReplaceAll(text, blankMark, " ") {
			t.Errorf("%q decodes as %q", text, got)
		}
	}
}
