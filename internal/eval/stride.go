package eval

import (
	"context"
	"fmt"
	"strings"

	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/retrieve"
)

// stride is one place of a window that is scored, the same for all rows.
type stride struct {
	context  int                // tokens before it
	target   []int32            // [Recipe.Stride]
	words    int                // that begin in the target
	passages []retrieve.Passage // the best
	random   []retrieve.Passage // drawn blindly, for rows that ask for such
}

// strides looks up what the strides of a window need: as many passages as the
// row that takes the most.
func (e *Evaluation) strides(ctx context.Context, w Window) ([]stride, error) {
	best, random := 0, 0
	for _, r := range e.Rows {
		if r.Random {
			random = max(random, r.K)
		} else {
			best = max(best, r.K, r.Best)
		}
	}
	query := ralm.LastTokens(e.Tokenizer, ralm.Defaults().QueryLen)
	var strides []stride
	for _, p := range e.Recipe.Contexts() {
		text := w.Tokens[:p]
		st := stride{context: p, target: w.Tokens[p : p+e.Recipe.Stride]}
		st.words = newWords(e.Tokenizer.Decode(text), e.Tokenizer.Decode(st.target))
		var err error
		if best > 0 {
			if st.passages, err = retrieve.Outside(ctx, e.Retriever, query(text, 0), best, w.Document, w.Title); err != nil {
				return nil, fmt.Errorf("looking passages up for window %d: %w", w.Index, err)
			}
		}
		if random > 0 {
			if st.random, err = e.Passages.draw(random, w, p); err != nil {
				return nil, fmt.Errorf("window %d: %w", w.Index, err)
			}
		}
		strides = append(strides, st)
	}
	return strides, nil
}

// newWords counts the words, runs without blanks, that begin in the target. Over
// all strides of a text that are all its words behind the first context, wherever
// tokens cut them.
func newWords(before, target string) int {
	return len(strings.Fields(before+target)) - len(strings.Fields(before))
}
