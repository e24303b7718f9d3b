package eval

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/retrieve"
)

// byteTokens is a tokenizer whose tokens are bytes.
type byteTokens struct{}

func (byteTokens) Encode(text string) []int32 {
	var tokens []int32
	for _, b := range []byte(text) {
		tokens = append(tokens, int32(b))
	}
	return tokens
}

func (byteTokens) Decode(tokens []int32) string {
	var text []byte
	for _, t := range tokens {
		text = append(text, byte(t))
	}
	return string(text)
}

// shelf ranks its passages by how many of the query's words they have, as a
// retriever does that knows no titles: it ignores what a query excludes.
type shelf struct {
	passages []retrieve.Passage
	queries  []retrieve.Query
}

func (s *shelf) Retrieve(_ context.Context, q retrieve.Query) ([]retrieve.Passage, error) {
	s.queries = append(s.queries, q)
	var found []retrieve.Passage
	for _, p := range s.passages {
		for _, word := range strings.Fields(q.Text) {
			if strings.Contains(p.Text, word) {
				p.Score++
			}
		}
		if p.Score > 0 {
			found = append(found, p)
		}
	}
	slices.SortStableFunc(found, func(a, b retrieve.Passage) int { return int(b.Score - a.Score) })
	return found[:min(q.K, len(found))], nil
}

// documents are texts of different lengths, the second one too short for a window
// of 80 tokens.
func documents(yield func(corpus.Document, error) bool) {
	for i, n := range []int{12, 3, 20, 15} {
		var text strings.Builder
		for j := range n {
			fmt.Fprintf(&text, "word%d of%d, ", (i+j)%7, j%5)
		}
		if !yield(corpus.Document{ID: fmt.Sprint("d", i), Title: fmt.Sprint("t", i), Text: text.String()}, nil) {
			return
		}
	}
}

// recipe has the contexts 32, 48 and 64.
var recipe = Recipe{Context: 64, Stride: 8, Every: 2}

// small is an evaluation of the tiny random model, with what it is made of.
type small struct {
	*Evaluation
	weights   *model.Weights
	shelf     *shelf
	windows   []Window
	sequences int // that were made
}

func newSmall(t testing.TB, rows ...string) *small {
	t.Helper()
	s := &small{weights: modeltest.Tiny(1), shelf: &shelf{}}
	for i := range 9 {
		s.shelf.passages = append(s.shelf.passages, retrieve.Passage{
			ID: fmt.Sprintf("p%d#0", i), Title: "a title", Text: fmt.Sprintf("word%d of%d and word%d", i%7, i%5, (i+3)%7), First: i%2 == 0,
		})
	}
	e, err := engine.New(s.weights, engine.Options{Threads: 1, Compute: engine.Exact})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	parsed, err := ParseRows(rows, -1)
	if err != nil {
		t.Fatal(err)
	}
	if s.windows, err = Windows(documents, byteTokens{}, recipe, 0); err != nil {
		t.Fatal(err)
	}
	s.Evaluation = &Evaluation{Tokenizer: byteTokens{}, Retriever: s.shelf, Rows: parsed, Recipe: recipe,
		NewSequence: func(Row) Sequence { s.sequences++; return e.NewSequence() }}
	return s
}

// run scores all windows.
func (s *small) run(t testing.TB, log *Log) {
	t.Helper()
	if err := s.Run(context.Background(), s.windows, log, func() {}); err != nil {
		t.Fatal(err)
	}
}

// read returns a passage by its number.
func (s *shelf) read(n uint32) (retrieve.Passage, error) { return s.passages[n], nil }
