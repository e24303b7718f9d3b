package model

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// TestTokenizersOfAFolder compares the ids of 20,000 texts with those that tools/reference/tokenizer_lines.py wrote to the
// folder FLASHBACK_TOKENIZERS, for each tokenizer there, and says how fast it was.
func TestTokenizersOfAFolder(t *testing.T) {
	folder := os.Getenv("FLASHBACK_TOKENIZERS")
	if folder == "" {
		t.Skip("FLASHBACK_TOKENIZERS names no folder of tokenizer_lines.py")
	}
	texts := readLines[string](t, filepath.Join(folder, "texts.jsonl"))
	found, err := filepath.Glob(filepath.Join(folder, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range found {
		name := strings.TrimSuffix(file, ".jsonl")
		if filepath.Base(name) == "texts" {
			continue
		}
		want := readLines[struct{ Plain, Special []int32 }](t, file)
		for _, path := range []string{name, name + ".gguf"} {
			if _, err := os.Stat(path); err != nil {
				continue
			}
			t.Run(filepath.Base(path), func(t *testing.T) {
				start := time.Now()
				tk, err := LoadTokenizer(path)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("loaded in %.2f s", time.Since(start).Seconds())
				different := 0
				for i, text := range texts {
					if want[i].Special == nil {
						want[i].Special = want[i].Plain
					}
					for kind, ids := range map[string][2][]int32{"plain": {tk.Encode(text), want[i].Plain}, "special": {tk.EncodeSpecial(text), want[i].Special}} {
						if slices.Equal(ids[0], ids[1]) {
							continue
						}
						if different++; different <= 12 {
							at := 0
							for at < min(len(ids[0]), len(ids[1])) && ids[0][at] == ids[1][at] {
								at++
							}
							t.Errorf("%s, text %d, %.80q: from token %d on %v, want %v", kind, i, text, at, firstNames(tk, ids[0][at:]), firstNames(tk, ids[1][at:]))
						}
					}
				}
				lost := 0
				for i, text := range texts {
					base := filepath.Base(path)
					if strings.HasPrefix(base, "phi-3") && strings.Contains(text, "</s>") || strings.HasPrefix(base, "smollm") {
						continue // it takes the blanks behind it; and the vocabulary lacks bytes
					}
					if back := tk.Decode(want[i].Plain); !sameText(back, text) {
						if lost++; lost <= 12 {
							t.Errorf("text %d, %.80q, decodes as %.80q", i, text, back)
						}
					}
				}
				if lost > 0 {
					t.Errorf("%d of %d texts do not decode", lost, len(texts))
				}
				if different > 0 {
					t.Errorf("%d encodings of %d texts are different", different, len(texts))
				}
				speed(t, tk, texts)
			})
		}
	}
}

// sameText tells whether decoding gave a text back: as it was, in normal form C, which Qwen brings it into, or with blanks for
// ▁ and one in front, as SentencePiece has them.
func sameText(back, text string) bool {
	plain := strings.ReplaceAll(text, "▁", " ")
	return back == text || back == norm.NFC.String(text) || back == plain || back == " "+plain
}

// firstNames names the first few of ids.
func firstNames(tk *tokenizer.Tokenizer, ids []int32) (all []string) {
	for _, id := range ids[:min(6, len(ids))] {
		all = append(all, string(tk.Bytes(id)))
	}
	return all
}

func speed(t *testing.T, tk *tokenizer.Tokenizer, texts []string) {
	all := strings.Join(texts, "\n")
	start := time.Now()
	n := len(tk.Encode(all))
	t.Logf("%d bytes, %d tokens, %.1f MB/s", len(all), n, float64(len(all))/1e6/time.Since(start).Seconds())
	start = time.Now()
	tk.Encode(strings.Repeat("a", 1<<20))
	t.Logf("a line of 2^20 letters in %.2f s", time.Since(start).Seconds())
}

func readLines[T any](t *testing.T, path string) (all []T) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var v T
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(path, err)
		}
		all = append(all, v)
	}
	return all
}
