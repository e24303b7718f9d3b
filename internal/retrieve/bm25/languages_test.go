package bm25

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25/analysis"
)

// TestLanguages counts how many queries, as people type them, find their passage
// first or among the first three, of passages in many languages.
func TestLanguages(t *testing.T) {
	f, err := os.Open("testdata/languages.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	type query struct{ language, text, id string }
	var passages []retrieve.Passage
	var queries []query
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.Split(s.Text(), "\t")
		id := fmt.Sprint(line[0], len(passages))
		passages = append(passages, retrieve.Passage{ID: id, Source: id, Text: line[1]})
		for text := range strings.SplitSeq(line[2], "|") {
			queries = append(queries, query{line[0], text, id})
		}
	}
	for _, c := range []struct {
		analyzer    string
		first, any3 int // at least
	}{{analysis.Folding, 147, 149}, {analysis.Unicode, 0, 0}, {analysis.English, 0, 0}} {
		x := open(t, build(t, passages, BuildOptions{Analyzer: c.analyzer}))
		first, any3 := 0, 0
		for _, q := range queries {
			found, err := x.Retrieve(t.Context(), retrieve.Query{Text: q.text, K: 3})
			if err != nil {
				t.Fatal(err)
			}
			rank := -1
			for i, p := range found {
				if p.ID == q.id {
					rank = i
				}
			}
			if rank == 0 {
				first++
			}
			if rank >= 0 {
				any3++
			} else if c.analyzer == analysis.Folding {
				t.Logf("not found: %s %q", q.language, q.text)
			}
		}
		t.Logf("%s: of %d queries %d find their passage first, %d among the first three", c.analyzer, len(queries), first, any3)
		if first < c.first || any3 < c.any3 {
			t.Errorf("%s: fewer than %d and %d", c.analyzer, c.first, c.any3)
		}
	}
}
