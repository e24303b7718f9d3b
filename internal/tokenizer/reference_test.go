package tokenizer

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/klauspost/compress/zstd"
)

// The files in testdata were made by tools/reference/tokenizer.py with Hugging Face's tokenizers. Ids are compared exactly.

func readFixture(t testing.TB, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(name, err)
	}
}

// TestClasses compares the class of every character with the reference's.
func TestClasses(t *testing.T) {
	var want struct{ Letters, Numbers, Blanks, Digits [][2]rune }
	readFixture(t, "classes.json", &want)
	classes := make([]class, unicode.MaxRune+1)
	for c, ranges := range map[class][][2]rune{letter: want.Letters, number: want.Numbers, space: want.Blanks} {
		for _, r := range ranges {
			for i := r[0]; i <= r[1]; i++ {
				classes[i] = c
			}
		}
	}
	digits := make([]bool, unicode.MaxRune+1)
	for _, r := range want.Digits {
		for i := r[0]; i <= r[1]; i++ {
			digits[i] = true
		}
	}
	for r, c := range classes {
		if got := classOf(rune(r)); got != c {
			t.Errorf("%U has class %d, want %d", r, got, c)
		}
		if 0xd800 <= r && r < 0xe000 {
			continue
		}
		if _, n := indexNumeric(string(rune(r))); (n > 0) != digits[r] {
			t.Errorf("%U is a digit: %v, want %v", r, n > 0, digits[r])
		}
	}
}

// linesFixture is lines.json: a small vocabulary, and lines with their ids in it by each pre-tokenizer, with control tokens
// recognised (smollm; absent when that changes nothing) and in the model's vocabulary.
type linesFixture struct {
	Tokens []string
	Types  []int32
	Merges []string
	Lines  []struct {
		Text    string
		Bytes   []byte  // instead of Text where it is no UTF-8
		GPT2    []int32 `json:"gpt-2"`
		SmolLM  []int32 `json:"smollm"`
		Llama   []int32 `json:"llama-bpe"`
		Qwen2   []int32 `json:"qwen2"`
		GPT4o   []int32 `json:"gpt-4o"`
		Tekken  []int32 `json:"tekken"`
		Default []int32 `json:"default"`
		None    []int32 `json:"none"`
		Special []int32
		Model   []int32
	}
}

// small is a configuration with the fixture's vocabulary.
func (f linesFixture) small(pre string) Config {
	return Config{Model: "gpt2", Pre: pre, Tokens: f.Tokens, Types: f.Types, Merges: f.Merges, BOS: 1, EOS: 2, Unknown: -1, Padding: -1}
}

func mustNew(t testing.TB, c Config) *Tokenizer {
	t.Helper()
	tk, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return tk
}

func TestLines(t *testing.T) {
	var f linesFixture
	readFixture(t, "lines.json", &f)
	gpt2, smollm := mustNew(t, f.small("gpt-2")), mustNew(t, f.small("smollm"))
	llama, qwen2 := mustNew(t, f.small("llama-bpe")), mustNew(t, f.small("qwen2"))
	gpt4o, tekken := mustNew(t, f.small("llama4")), mustNew(t, f.small("tekken"))
	none, unsaid := mustNew(t, f.small("none")), mustNew(t, f.small(""))
	for _, line := range f.Lines {
		text := line.Text + string(line.Bytes)
		if line.Special == nil {
			line.Special = line.SmolLM
		}
		for _, c := range []struct {
			name      string
			got, want []int32
		}{
			{"gpt-2", gpt2.Encode(text), line.GPT2},
			{"smollm", smollm.Encode(text), line.SmolLM},
			{"llama-bpe", llama.Encode(text), line.Llama},
			{"qwen2", qwen2.Encode(text), line.Qwen2},
			{"gpt-4o", gpt4o.Encode(text), line.GPT4o},
			{"tekken", tekken.Encode(text), line.Tekken},
			{"default", unsaid.Encode(text), line.Default},
			{"none", none.Encode(text), line.None},
			{"special", smollm.EncodeSpecial(text), line.Special},
		} {
			if !slices.Equal(c.got, c.want) {
				t.Errorf("%s: %q\ngot  %v\nwant %v", c.name, text, c.got, c.want)
			}
		}
	}
	t.Logf("%d lines by 8 pre-tokenizers", len(f.Lines))
}

func TestLinesOfModel(t *testing.T) {
	tk := modelTokenizer(t)
	var f linesFixture
	readFixture(t, "lines.json", &f)
	for _, line := range f.Lines {
		text := line.Text + string(line.Bytes)
		if got := tk.Encode(text); !slices.Equal(got, line.Model) {
			t.Errorf("%q\ngot  %v\nwant %v", text, got, line.Model)
		}
	}
	t.Logf("%d lines", len(f.Lines))
}

// TestData compares the ids of real text of all sets by their hashes; the text itself is not part of the repository.
func TestData(t *testing.T) {
	folder := filepath.Join("..", "..", "..", "shared", "data")
	if _, err := os.Stat(folder); err != nil {
		skip(t, "the text data is not here: %v; it belongs beside the checkout, in shared/data", err)
	}
	tk := modelTokenizer(t)
	var f map[string]struct{ Lines, Documents []byte }
	readFixture(t, "data.json", &f)
	compared, wrong := 0, 0
	for name, want := range f {
		var lines, documents []byte
		for text := range textsOf(t, filepath.Join(folder, name)) {
			if len(documents) < len(want.Documents) {
				documents = append(documents, hashIDs(tk.Encode(text))...)
			}
			for line := range strings.SplitSeq(text, "\n") {
				if len(lines) < len(want.Lines) && strings.TrimSpace(line) != "" {
					lines = append(lines, hashIDs(tk.Encode(line))...)
				}
			}
			if len(documents) == len(want.Documents) && len(lines) == len(want.Lines) {
				break
			}
		}
		for kind, pair := range map[string][2][]byte{"line": {lines, want.Lines}, "document": {documents, want.Documents}} {
			got, want := pair[0], pair[1]
			if len(got) != len(want) {
				t.Errorf("%s: %d %ss, want %d", name, len(got)/hashSize, kind, len(want)/hashSize)
				continue
			}
			for i := 0; i < len(want); i += hashSize {
				compared++
				if !slices.Equal(got[i:i+hashSize], want[i:i+hashSize]) {
					wrong++
					t.Errorf("%s: %s %d differs", name, kind, i/hashSize)
				}
			}
		}
	}
	t.Logf("%d texts compared, %d differ", compared, wrong)
}

const hashSize = 8

func hashIDs(ids []int32) []byte {
	h := sha256.New()
	binary.Write(h, binary.LittleEndian, ids)
	return h.Sum(nil)[:hashSize]
}

// textsOf gives the texts of a data file in order.
func textsOf(t testing.TB, path string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := zstd.NewReader(bufio.NewReader(f), zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		for rows := json.NewDecoder(z); rows.More(); {
			var row struct{ Text, Passage, Question string }
			if err := rows.Decode(&row); err != nil {
				t.Fatal(path, err)
			}
			text := row.Text
			if text == "" {
				text = row.Passage
			}
			if text == "" {
				text = row.Question
			}
			if !yield(text) {
				return
			}
		}
	}
}
