package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/bench"
	"github.com/flashback-lm/flashback/internal/hub/hubtest"
)

// output runs a command line and returns what it prints.
func output(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	return out.String(), err
}

func TestBenchUsage(t *testing.T) {
	for name, args := range map[string]string{
		"no rounds":           "prefill --rounds 0",
		"no tokens":           "decode --tokens 0",
		"negative depth":      "depth --depth -1",
		"negative threads":    "prefill --threads -1",
		"size of a budget":    "prefill --kv-budget lots",
		"storage of keys":     "prefill --kv q4",
		"unknown placement":   "loop --placements virtual,sideways",
		"unknown shape":       "loop --shape gpt-5",
		"shape that measures": "loop --shape llama-2-7b --plot a.png",
		"shape too short":     "loop --shape llama-2-7b --contexts 4097",
		"no such placement":   "batch --placements sideways",
		"no index":            "retrieval",
		"an argument":         "loop fast",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := output(t, append([]string{"bench"}, strings.Fields(args)...)...)
			if _, usage := errors.AsType[usageError](err); !usage {
				t.Errorf("got %v, want a usage error", err)
			}
		})
	}
}

func TestBenchShape(t *testing.T) {
	text, err := output(t, "bench", "loop", "--shape", "llama-2-7b", "--contexts", "512,2048")
	if err != nil || !strings.HasPrefix(text, "computed, not measured") {
		t.Errorf("%v\n%s", err, text)
	}
	raw, err := output(t, "bench", "loop", "--shape", "llama-2-7b", "--contexts", "512,2048", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var costs []bench.Cost
	if err := json.Unmarshal([]byte(raw), &costs); err != nil {
		t.Fatal(err)
	}
	if len(costs) != 2*5 {
		t.Errorf("%d rows instead of 10", len(costs))
	}
	for _, c := range costs {
		if !c.Computed || c.FLOPs <= 0 || c.FLOPsRatio <= 0 {
			t.Errorf("%+v", c)
		}
	}
}

// TestBenchCommands runs every benchmark once on the default model, as small as
// it gets.
func TestBenchCommands(t *testing.T) {
	model, dir := hubtest.Model(t), t.TempDir()
	text := filepath.Join(dir, "text.md")
	var lines strings.Builder
	for i := range 300 {
		lines.WriteString("Line " + strings.Repeat("one more ", i%7) + "of a text that says little.\n")
	}
	if err := os.WriteFile(text, []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(dir, "index")
	if _, err := output(t, "index", text, "-o", index, "--chunk", "words:20"); err != nil {
		t.Fatal(err)
	}
	picture := filepath.Join(dir, "loop.png")
	for name, c := range map[string]struct {
		args string
		rows int
		keys []string
	}{
		"prefill": {"--tokens 8", 1, []string{"test", "tokens_per_second"}},
		"decode":  {"--tokens 2", 1, []string{"test", "tokens_per_second"}},
		"depth":   {"--depth 16 --tokens 4 --decode 2", 2, []string{"test", "tokens_per_second", "depth"}},
		"loop": {"--contexts 24 --stride 4 --evidence 8 --plot " + picture, 5, []string{"placement", "evidence", "echo", "context", "stride",
			"ms_per_token", "tokens_prefilled", "tokens_decoded", "tokens_reused", "evidence_reused", "ratio_to_prepend"}},
		"batch": {"--sequences 1,2 --placements none,append --context 24 --stride 4 --evidence 8", 4, []string{"placement", "sequences", "context", "look_ahead",
			"tokens_per_second", "ratio"}},
		"retrieval": {"--queries 10 --index " + index, 1, []string{"p50_ms", "p95_ms", "p99_ms"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"bench", name, "--json", "--rounds", "1", "--model", model, "--text", text}, strings.Fields(c.args)...)
			raw, err := output(t, args...)
			if err != nil {
				t.Fatal(err)
			}
			var rows []map[string]any
			if err := json.Unmarshal([]byte(raw), &rows); err != nil {
				t.Fatalf("%v\n%s", err, raw)
			}
			if len(rows) != c.rows {
				t.Errorf("%d rows instead of %d", len(rows), c.rows)
			}
			for _, row := range rows {
				for _, key := range c.keys {
					if _, ok := row[key]; !ok {
						t.Errorf("no %q in %v", key, row)
					}
				}
			}
		})
	}
	if _, err := os.Stat(picture); err != nil {
		t.Error(err)
	}
}
