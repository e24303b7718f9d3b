package main

import (
	"encoding/json"
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
	if _, errs, err := execute("index", corpus, "-o", index); err != nil {
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
		{"placement and passages by flags", marked, "--placement virtual --k 1", "virtual", 23, 1},
		{"an echo by flag", marked, "--echo 5", "append", 23 + 24, 2 * 5},
		{"no echo by flag", marked, "--echo 0", "append", 23 + 24, 0},
		{"without marks", markless, "", "append", 21 + 22, 2 * 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"generate", "--model", path, "--index", index, "--adapter", c.adapter,
				"--prompt", "the harbour wall and bell and light", "--tokens", "4", "--ignore-eos", "--json"}, strings.Fields(c.flags)...)
			out, errs, err := execute(args...)
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
		_, _, err := execute("generate", "--model", path, "--index", tinyIndex(t), "--adapter", c.adapter, "--prompt", "ab", "--tokens", "1")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
}
