// Package eval measures how well a model predicts real text when evidence is
// placed beside it, by the recipe of the FlashBack paper (arXiv 2405.04065).
//
// A window is the beginning of one document. At every stride the text before it
// is the context, its last tokens are the query, and the tokens of the stride
// are the target, whose log-probabilities are added up. Rows differ in the
// placement of the evidence only: all see the same contexts, passages and targets.
package eval

import (
	"context"
	"fmt"
	"math"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Sequence is the language model: a kept text, scored beside evidence.
type Sequence interface {
	// Append adds tokens to the kept text; they are encoded when next needed.
	Append(tokens ...int32) error
	// Score returns the natural log-probabilities of target after
	// kept ++ evidence; nothing is kept.
	Score(ctx context.Context, p placement.Placement, evidence []lm.Evidence, target []int32) ([]float64, error)
	Close()
}

// Evaluation measures rows on windows.
type Evaluation struct {
	// NewSequence returns an empty sequence with the row's adapter.
	NewSequence func(r Row) Sequence
	Tokenizer   ralm.Tokenizer
	Retriever   retrieve.Retriever // may be nil where all rows are none
	Passages    *Passages          // of the index; may be nil where no row is random
	Lead        []int32            // what the model reads in front of every text: its BOS, or nothing
	Rows        []Row
	Recipe      Recipe
	// Adapters are those that rows name.
	Adapters map[string]Adapter
}

// Adapter is what rows must know of an adapter.
type Adapter struct {
	Digest string      // of its content
	Marks  *ralm.Marks // that stand around its passages; nil: none
}

// sequenceKey is what the KV of a context depends on.
type sequenceKey struct {
	sink    int32
	adapter string
}

func (r Row) key() sequenceKey { return sequenceKey{r.Sink, r.Adapter} }

// Run scores every row of every window that the log does not have yet, window by
// window, and logs it. After each window done is called. When ctx ends, so does
// Run, with its error, and the log has every window that was complete.
func (e *Evaluation) Run(ctx context.Context, windows []Window, log *Log, done func()) error {
	for _, w := range windows {
		var missing []Row
		for _, r := range e.Rows {
			if !log.Has(r, w) {
				missing = append(missing, r)
			}
		}
		if len(missing) > 0 {
			scores, err := e.score(ctx, w, missing)
			if err != nil {
				return err
			}
			for _, s := range scores {
				if err := log.Add(s); err != nil {
					return err
				}
			}
		}
		done()
	}
	return nil
}

// Score is what one row gave for one window.
type Score struct {
	Row      string        `json:"row"`
	Adapter  string        `json:"adapter,omitempty"` // the digest of the row's
	Window   int           `json:"window"`            // its number, from 0
	Document string        `json:"document"`          // its document's id
	Strides  []StrideScore `json:"strides"`
}

// StrideScore is one stride of a Score.
type StrideScore struct {
	Context  int       `json:"context"`            // tokens before the target, lead and sink not counted
	Passages []string  `json:"passages,omitempty"` // ids, best first
	LogProbs []float64 `json:"logprobs"`           // natural, one a target token
	Words    int       `json:"words"`              // that begin in the target
}

// score measures rows on one window. Rows with the same first token and adapter share a
// sequence, which grows from stride to stride: the context is encoded once for all
// of them and every stride. (None's score costs a stride's tokens on top of that,
// less than a pass of its own.)
func (e *Evaluation) score(ctx context.Context, w Window, rows []Row) ([]Score, error) {
	strides, err := e.strides(ctx, w)
	if err != nil {
		return nil, err
	}
	sequences := map[sequenceKey]Sequence{}
	for _, r := range rows {
		if sequences[r.key()] != nil {
			continue
		}
		s := e.NewSequence(r)
		defer s.Close()
		sequences[r.key()] = s
		if err := s.Append(e.before(r)...); err != nil {
			return nil, err
		}
	}
	scores := make([]Score, len(rows))
	for i, r := range rows {
		scores[i] = Score{Row: r.String(), Adapter: e.Adapters[r.Adapter].Digest, Window: w.Index, Document: w.Document}
	}
	context := 0 // tokens of the window that the sequences have
	for _, st := range strides {
		for _, s := range sequences {
			if err := s.Append(w.Tokens[context:st.context]...); err != nil {
				return nil, err
			}
		}
		context = st.context
		for i, r := range rows {
			placed, evidence := e.place(r, st)
			logProbs, err := sequences[r.key()].Score(ctx, r.Placement, evidence, st.target)
			if err != nil {
				return nil, fmt.Errorf("window %d, row %s, context %d: %w", w.Index, r, st.context, err)
			}
			for _, v := range logProbs {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					return nil, fmt.Errorf("window %d, row %s, context %d: the model gave a log-probability of %v: its weights are damaged", w.Index, r, st.context, v)
				}
			}
			scored := StrideScore{Context: st.context, LogProbs: logProbs, Words: st.words}
			for _, p := range placed {
				scored.Passages = append(scored.Passages, p.ID)
			}
			scores[i].Strides = append(scores[i].Strides, scored)
		}
	}
	return scores, nil
}

// before returns what stands in front of a row's windows: in every context, in no
// query, never a target.
func (e *Evaluation) before(r Row) []int32 {
	if r.Sink < 0 {
		return e.Lead
	}
	return append(e.Lead[:len(e.Lead):len(e.Lead)], r.Sink)
}

// place returns the evidence of a row.
func (e *Evaluation) place(r Row, st stride) ([]ralm.Placed, []lm.Evidence) {
	if r.Placement.Evidence == placement.Nowhere {
		return nil, nil
	}
	o := ralm.Defaults()
	o.Placement = r.Placement
	o.Marks = e.Adapters[r.Adapter].Marks
	passages := st.passages
	if r.Random {
		passages = st.random
	}
	return ralm.Place(e.Tokenizer, passages[:min(r.K, len(passages))], o)
}
