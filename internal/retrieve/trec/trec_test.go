package trec

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// TestEvaluate compares with ir_measures, which runs trec_eval, on random
// judgements with many equal scores (tools/trec/fixture.py); to 1e-9, for sums in
// another order.
func TestEvaluate(t *testing.T) {
	qrels, err := ReadQrels("testdata/qrels.txt")
	if err != nil {
		t.Fatal(err)
	}
	run, err := ReadRun("testdata/run.txt")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("testdata/measures.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(data)), "\n")
	got := Evaluate(qrels, run, []int{1, 5, 20})
	if len(got) != len(want) {
		t.Fatalf("%d measures, %d expected", len(got), len(want))
	}
	for i, line := range want {
		var name string
		var value float64
		if _, err := fmt.Sscan(line, &name, &value); err != nil {
			t.Fatal(err)
		}
		if math.Abs(got[i].Value-value) > 1e-9 {
			t.Errorf("%s is %.12f, ir_measures' %s %.12f", got[i].Name, got[i].Value, name, value)
		}
	}
}

func TestWriteRun(t *testing.T) {
	var b bytes.Buffer
	if err := WriteRun(&b, "q 1", 2, retrieve.Passage{ID: "notes/a b.md#7", Score: 1.25}); err != nil {
		t.Fatal(err)
	}
	if want := "q_1 Q0 notes/a_b.md#7 2 1.25 flashback\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestBadFiles(t *testing.T) {
	read := map[string]func(string) error{
		"topics": func(p string) error { _, err := ReadTopics(p); return err },
		"qrels":  func(p string) error { _, err := ReadQrels(p); return err },
		"run":    func(p string) error { _, err := ReadRun(p); return err },
	}
	for _, tc := range []struct{ kind, text, want string }{
		{"topics", "1 no tab\n", ":1: a topic is"},
		{"topics", "\n", "no topics"},
		{"qrels", "a 0 d 1\na 0 d\n", ":2: a judgement is"},
		{"qrels", "a 0 d x\n", `:1: the grade "x"`},
		{"run", "a Q0 d 1 NaN tag\n", `:1: the score "NaN"`},
		{"run", "a Q0 d 1 2\n", ":1: a line of a run"},
	} {
		path := filepath.Join(t.TempDir(), tc.kind)
		if err := os.WriteFile(path, []byte(tc.text), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := read[tc.kind](path); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s %q: %v", tc.kind, tc.text, err)
		}
	}
}
