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
	// Place returns a placement as the model has it; nil: as it is. Rows whose texts start
	// elsewhere share no sequence, which would encode its text anew from row to row.
	Place func(placement.Placement) placement.Placement
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
	start   int // position of the first token
}

func (e *Evaluation) key(r Row) sequenceKey {
	p := r.Placement
	if e.Place != nil {
		p = e.Place(p)
	}
	return sequenceKey{r.Sink, r.Adapter, p.Reserve}
}

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

// score measures rows on one window. Rows with the same first token, start and adapter share a
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
		if sequences[e.key(r)] != nil {
			continue
		}
		s := e.NewSequence(r)
		defer s.Close()
		sequences[e.key(r)] = s
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
			scored, err := e.stride(ctx, sequences[e.key(r)], r, st)
			if err != nil {
				return nil, fmt.Errorf("window %d, row %s, context %d: %w", w.Index, r, st.context, err)
			}
			scores[i].Strides = append(scores[i].Strides, scored)
		}
	}
	return scores, nil
}

// stride measures a row on one stride: with the passages that it shows or, of several
// that it is to choose from, with the one that makes the target likeliest.
func (e *Evaluation) stride(ctx context.Context, s Sequence, r Row, st stride) (StrideScore, error) {
	var best StrideScore
	likeliest := math.Inf(-1)
	for _, passages := range r.shown(st) {
		placed, evidence := e.place(r, passages)
		logProbs, err := s.Score(ctx, r.Placement, evidence, st.target)
		if err != nil {
			return best, err
		}
		sum := 0.0
		for _, v := range logProbs {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return best, fmt.Errorf("the model gave a log-probability of %v: its weights are damaged", v)
			}
			sum += v
		}
		if sum <= likeliest {
			continue
		}
		likeliest = sum
		best = StrideScore{Context: st.context, LogProbs: logProbs, Words: st.words}
		for _, p := range placed {
			best.Passages = append(best.Passages, p.ID)
		}
	}
	return best, nil
}

// shown returns what passages the row shows beside a stride; several lists are to be
// chosen from.
func (r Row) shown(st stride) [][]retrieve.Passage {
	switch {
	case r.Placement.Evidence == placement.Nowhere:
		return [][]retrieve.Passage{nil}
	case r.Random:
		return [][]retrieve.Passage{st.random[:min(r.K, len(st.random))]}
	case r.Best == 0 || len(st.passages) == 0:
		return [][]retrieve.Passage{st.passages[:min(r.K, len(st.passages))]}
	}
	var each [][]retrieve.Passage
	for i := range st.passages[:min(r.Best, len(st.passages))] {
		each = append(each, st.passages[i:i+1])
	}
	return each
}

// before returns what stands in front of a row's windows: in every context, in no
// query, never a target.
func (e *Evaluation) before(r Row) []int32 {
	if r.Sink < 0 {
		return e.Lead
	}
	return append(e.Lead[:len(e.Lead):len(e.Lead)], r.Sink)
}

// place returns passages as the evidence of a row.
func (e *Evaluation) place(r Row, passages []retrieve.Passage) ([]ralm.Placed, []lm.Evidence) {
	if len(passages) == 0 {
		return nil, nil
	}
	o := ralm.Defaults()
	o.Placement = r.Placement
	o.Marks = e.Adapters[r.Adapter].Marks
	return ralm.Place(e.Tokenizer, passages, o)
}
