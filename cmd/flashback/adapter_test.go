package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/lora"
)

// tinyIndex makes an index of three passages and returns its directory.
func tinyIndex(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var lines strings.Builder
	for _, text := range []string{"the red harbour light", "the green harbour bell", "the old harbour wall"} {
		lines.WriteString(`{"id":"` + text[4:7] + `","text":"` + text + `"}` + "\n")
	}
	corpus := filepath.Join(dir, "corpus.jsonl")
	if err := os.WriteFile(corpus, []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(dir, "index")
	if _, errs, err := runCommand("index", corpus, "-o", index); err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	return index
}

// TestGenerateWithAdapter looks at what a run was computed with: the adapter's
// placement, echo, passages and marks, unless flags say otherwise. A token is a byte
// here, so the two passages are 21 and 22 tokens without their marks.
func TestGenerateWithAdapter(t *testing.T) {
	path, index := tinyModel(t, 1), tinyIndex(t)
	marked := tinyAdapter(t, path, nil)
	markless := tinyAdapter(t, path, func(i *lora.Info) { i.Marks = nil })
	for _, c := range []struct {
		name, adapter, flags string
		placement            string
		evidence, echoed     int // tokens of all passages and of the echoes, one a branch
	}{
		{"defaults", marked, "", "append", 23 + 24, 2 * 3},
		{"placement and passages by flags", marked, "--placement virtual --k 1", "virtual", 23, 0},
		{"an echo by flag", marked, "--echo 5", "append", 23 + 24, 2 * 5},
		{"no echo by flag", marked, "--echo 0", "append", 23 + 24, 0},
		{"without marks", markless, "", "append", 21 + 22, 2 * 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"generate", "--model", path, "--index", index, "--adapter", c.adapter,
				"--prompt", "the harbour wall and bell and light", "--tokens", "4", "--ignore-eos", "--json"}, strings.Fields(c.flags)...)
			out, errs, err := runCommand(args...)
			if err != nil {
				t.Fatalf("%v\n%s", err, errs)
			}
			var got struct {
				Placement string
				Finish    struct {
					Counts struct{ Prefilled, Evidence int }
				}
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatal(err)
			}
			if n := got.Finish.Counts; got.Placement != c.placement || n.Evidence != c.evidence || n.Prefilled != c.evidence+c.echoed {
				t.Errorf("%s with %d evidence tokens of %d prefilled, want %s with %d of %d",
					got.Placement, n.Evidence, n.Prefilled, c.placement, c.evidence, c.evidence+c.echoed)
			}
		})
	}
}

// TestGenerateRefusesAdapter names adapters that do not fit.
func TestGenerateRefusesAdapter(t *testing.T) {
	path := tinyModel(t, 1)
	for _, c := range []struct{ name, adapter, want string }{
		{"another base", tinyAdapter(t, tinyModel(t, 2), nil), "trained on a base model"},
		{"no adapter", t.TempDir(), "no adapter is there"},
		{"no placement", tinyAdapter(t, path, func(i *lora.Info) { i.Placement = "sideways" }), "sideways"},
	} {
		_, _, err := runCommand("generate", "--model", path, "--index", tinyIndex(t), "--adapter", c.adapter, "--prompt", "ab", "--tokens", "1")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
}

// TestBenchLoopWithAdapter measures once with an adapter, and refuses what it does not
// go with.
func TestBenchLoopWithAdapter(t *testing.T) {
	path := tinyModel(t, 1)
	adapter, other := tinyAdapter(t, path, nil), tinyAdapter(t, tinyModel(t, 2), nil)
	text := filepath.Join(t.TempDir(), "text.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("one more line of a text that says little\n", 20)), 0o644); err != nil {
		t.Fatal(err)
	}
	loop := func(more ...string) (string, error) {
		return output(t, append([]string{"bench", "loop", "--model", path, "--text", text, "--contexts", "24", "--stride", "4",
			"--evidence", "8", "--rounds", "1", "--json"}, more...)...)
	}
	raw, err := loop("--adapter", adapter)
	var rows []map[string]any
	if err != nil || json.Unmarshal([]byte(raw), &rows) != nil || len(rows) != 5 {
		t.Errorf("%v\n%s", err, raw)
	}
	if _, err := loop("--adapter", other); err == nil || !strings.Contains(err.Error(), "trained on a base model") {
		t.Errorf("an adapter of another base: %v", err)
	}
	for _, flag := range []string{"--shape=llama-2-7b", "--against=http://localhost:1"} {
		_, err := loop("--adapter", adapter, flag)
		if _, usage := errors.AsType[usageError](err); !usage {
			t.Errorf("with %s: %v, want a usage error", flag, err)
		}
	}
}
