package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/sample"
)

// BatchOptions say what Batch measures.
type BatchOptions struct {
	Sequences  []int                 // how many write at once
	Placements []placement.Placement // none decodes; the others have a new passage a stride
	Context    int                   // tokens of each sequence before it writes
	Evidence   int                   // tokens of a passage
	Stride     int                   // tokens sampled a stride
	Strides    int                   // that each sequence writes in a round
	LookAhead  int                   // tokens to guess
	Rounds     int                   // measurements, of which the median counts
	Step       func()                // if not nil, called after each measurement
}

// Batched is the speed of some sequences that write at once.
type Batched struct {
	Placement string  `json:"placement"`
	Sequences int     `json:"sequences"`
	Context   int     `json:"context"`
	LookAhead int     `json:"look_ahead"`
	Median    float64 `json:"tokens_per_second"` // of all sequences together
	Min       float64 `json:"tokens_per_second_min"`
	Max       float64 `json:"tokens_per_second_max"`
	Rounds    int     `json:"rounds"`
	// Ratio is how many times as fast as the first row of the placement it is.
	Ratio float64 `json:"ratio"`
}

// Measurements returns how often Batch calls Step.
func (o BatchOptions) Measurements() int { return len(o.Sequences) * len(o.Placements) * o.Rounds }

func (o BatchOptions) check(limit int) error {
	switch {
	case len(o.Sequences) == 0 || len(o.Placements) == 0:
		return errors.New("nothing to measure: no number of sequences, or no placement")
	case slices.Min(o.Sequences) < 1 || o.Context < 2 || o.Evidence < 1 || o.Stride < 1 || o.Strides < 1 || o.Rounds < 1 || o.LookAhead < 0:
		return errors.New("sequences, evidence, stride, strides and rounds must be at least 1, and the context 2")
	}
	for _, p := range o.Placements {
		if n := p.Positions(o.Context+o.Stride*(o.Strides-1), []int{o.Evidence}, o.Stride); n > limit {
			return fmt.Errorf("context, evidence and strides take %d positions and the model has %d", n, limit)
		}
	}
	return nil
}

// Batch measures how many tokens a second sequences write together, each behind a
// context of its own. The rounds interleave the numbers of sequences.
func Batch(ctx context.Context, w *model.Weights, eo engine.Options, text *Text, o BatchOptions) ([]Batched, error) {
	if err := o.check(w.Config.Context); err != nil {
		return nil, err
	}
	most := slices.Max(o.Sequences)
	if eo.KVBudget == 0 {
		kv, err := eo.KVFormat(w.Config)
		if err != nil {
			return nil, err
		}
		pages := most * (kvcache.Blocks(o.Context+o.Stride*o.Strides) + 1)
		if slices.ContainsFunc(o.Placements, func(p placement.Placement) bool { return p.Evidence != placement.Nowhere }) {
			// Twice what the sequences hold at once, so that kept evidence is what makes room.
			pages = 2 * (pages + most*(kvcache.Blocks(o.Evidence)+kvcache.Blocks(o.Context+o.Evidence+o.Stride)))
		}
		eo.KVBudget = int64(pages) * kvcache.PageTokens * int64(engine.KVShape(w.Config, kv).TokenBytes())
	}
	e, err := engine.New(w, eo)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	writers := make([]*writer, most)
	for i := range writers {
		tokens, err := text.Take(o.Context)
		if err != nil {
			return nil, err
		}
		writers[i] = &writer{o: o, text: text, seq: e.NewSequence()}
		defer writers[i].seq.Close()
		writers[i].seq.LookAhead(cmp.Or(o.LookAhead, -1))
		if err := extend(ctx, writers[i].seq, tokens, 1); err != nil {
			return nil, err
		}
	}
	var rows []Batched
	for _, p := range o.Placements {
		times := make([][]float64, len(o.Sequences))
		for round := range o.Rounds + 1 { // the first does not count
			for i, n := range o.Sequences {
				took, err := together(ctx, writers[:n], p)
				if err != nil {
					return rows, err
				}
				if round > 0 {
					times[i] = append(times[i], took.Seconds())
					if o.Step != nil {
						o.Step()
					}
				}
			}
		}
		first := len(rows)
		for i, n := range o.Sequences {
			t, tokens := spreadOf(times[i]), float64(n*o.Stride*o.Strides)
			row := Batched{Placement: p.Name, Sequences: n, Context: o.Context, LookAhead: o.LookAhead,
				Median: tokens / t.median, Min: tokens / t.max, Max: tokens / t.min, Rounds: o.Rounds}
			rows = append(rows, row)
			rows[len(rows)-1].Ratio = row.Median / rows[first].Median
		}
	}
	return rows, nil
}

// together lets the writers write at once and returns how long all took.
func together(ctx context.Context, writers []*writer, p placement.Placement) (time.Duration, error) {
	for _, w := range writers {
		if err := w.rewind(p); err != nil {
			return 0, err
		}
	}
	var all errgroup.Group
	start := time.Now()
	for _, w := range writers {
		all.Go(func() error { return w.write(ctx, p) })
	}
	err := all.Wait()
	return time.Since(start), err
}

// writer is a sequence behind a context of its own.
type writer struct {
	o        BatchOptions
	text     *Text
	seq      *engine.Sequence
	passages [][]int32 // of the next round
}

// rewind puts the sequence back to its context and takes new passages.
func (w *writer) rewind(p placement.Placement) (err error) {
	w.seq.Truncate(w.o.Context)
	w.passages = nil
	if p.Evidence != placement.Nowhere {
		w.passages, err = w.text.Passages(w.o.Strides, w.o.Evidence)
	}
	return err
}

func (w *writer) write(ctx context.Context, p placement.Placement) error {
	for i := range w.o.Strides {
		evidence := toEvidence(nil)
		if w.passages != nil {
			evidence = toEvidence(w.passages[i : i+1])
		}
		if _, err := w.seq.Continue(ctx, p, evidence, w.o.Stride, sample.Greedy(), nil); err != nil {
			return err
		}
	}
	return nil
}
