package eval

import (
	"fmt"
	"iter"
	"slices"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/ralm"
)

// Recipe says where a window is scored.
type Recipe struct {
	Context int `json:"context"` // the longest context, in tokens
	Stride  int `json:"stride"`  // target tokens a retrieval
	Every   int `json:"every"`   // only every nth stride is scored, the first one among them
}

// firstContext is the shortest context: a whole query.
var firstContext = ralm.Defaults().QueryLen

// Check returns an error for a recipe without a stride.
func (r Recipe) Check() error {
	switch {
	case r.Context < firstContext:
		return fmt.Errorf("context %d: must be at least a query, %d tokens", r.Context, firstContext)
	case r.Stride < 1:
		return fmt.Errorf("stride %d: must be at least 1", r.Stride)
	case r.Every < 1:
		return fmt.Errorf("every %d: must be at least 1", r.Every)
	}
	return nil
}

// Contexts returns the lengths of the contexts: 32, 32 + stride … up to Context,
// and of these every nth.
func (r Recipe) Contexts() []int {
	var contexts []int
	for p := firstContext; p <= r.Context; p += r.Stride * r.Every {
		contexts = append(contexts, p)
	}
	return contexts
}

// Window returns the tokens of a window, which do not depend on Every.
func (r Recipe) Window() int {
	return r.Context - (r.Context-firstContext)%r.Stride + r.Stride
}

// Positions returns the most positions that a row takes: BOS or sink, context,
// passages, echo and target.
func (r Recipe) Positions(row Row) int {
	passages := slices.Repeat([]int{ralm.Defaults().PassageLen}, row.K)
	return row.Placement.Positions(1+r.Context, passages, r.Stride)
}

// Window is the beginning of one document.
type Window struct {
	Index    int     // from 0, in the order of the documents
	Document string  // the document's id
	Title    string  // the document's
	Tokens   []int32 // [Recipe.Window] of its text, title and BOS not among them
}

// Windows cuts one window from every document that is long enough, in order, up to
// limit of them; 0: all. One a document, so that the windows that the interval is
// estimated from are independent. A document that cannot be read ends it.
func Windows(docs iter.Seq2[corpus.Document, error], t ralm.Tokenizer, r Recipe, limit int) ([]Window, error) {
	var windows []Window
	size := r.Window()
	for doc, err := range docs {
		if err != nil {
			return nil, err
		}
		tokens := t.Encode(doc.Text)
		if len(tokens) < size {
			continue
		}
		windows = append(windows, Window{Index: len(windows), Document: doc.ID, Title: doc.Title, Tokens: append([]int32(nil), tokens[:size]...)})
		if len(windows) == limit {
			break
		}
	}
	if len(windows) == 0 {
		return nil, fmt.Errorf("no document has the %d tokens of a window: take longer documents or a shorter context", size)
	}
	return windows, nil
}
