// Package oracle computes a model of any family in the plainest way, to
// check the engine against: one flat sequence with explicit positions and a
// dense mask, all of it in f32, nothing kept, no spans, pages or chunks. It
// shares with the engine only the weights and their expansion.
package oracle

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
)

// Oracle computes with the weights of one model, which it only reads. It is safe
// for concurrent use.
type Oracle struct {
	w *model.Weights
	a *lora.Adapter // nil: none
}

// New returns the oracle of a model.
func New(w *model.Weights) *Oracle { return &Oracle{w: w} }

// With returns the oracle of the model with an adapter.
func (o *Oracle) With(a *lora.Adapter) *Oracle { return &Oracle{a.Over(o.w), a} }

// Recompute returns the logits [len(target)][vocabulary] that predict each
// target token after text ++ evidence. Where the placement gives each passage a
// branch and there are several, they are the logarithms of the probabilities
// mixed by the passages' weights.
func (o *Oracle) Recompute(ctx context.Context, p placement.Placement, text []int32, evidence []lm.Evidence, target []int32) ([][]float32, error) {
	passages := make([][]int32, len(evidence))
	for i, e := range evidence {
		passages[i] = e.Tokens
	}
	if p.SideBySide || len(evidence) < 2 {
		return o.Logits(ctx, p, text, passages, target)
	}
	long := o.long(p, text, passages)
	var branches [][][]float32
	for i := range passages {
		rows, err := o.logits(ctx, p, text, passages[i:i+1], target, long)
		if err != nil {
			return nil, err
		}
		branches = append(branches, rows)
	}
	mixed := make([][]float32, len(target))
	for i := range mixed {
		p := make([]float64, o.w.Config.Vocab)
		for b, rows := range branches {
			addSoftmax(p, rows[i], evidence[b].Weight)
		}
		mixed[i] = make([]float32, len(p))
		for j := range p {
			mixed[i][j] = float32(math.Log(p[j]))
		}
	}
	return mixed, nil
}

// addSoftmax adds weight · softmax(logits) to p.
func addSoftmax(p []float64, logits []float32, weight float64) {
	top := math.Inf(-1)
	for _, l := range logits {
		top = max(top, float64(l))
	}
	var sum float64
	for _, l := range logits {
		sum += math.Exp(float64(l) - top)
	}
	for i, l := range logits {
		p[i] += weight * math.Exp(float64(l)-top) / sum
	}
}

// Logits is Recompute for one branch: the passages of a placement that puts them
// side by side, or at most one.
func (o *Oracle) Logits(ctx context.Context, p placement.Placement, text []int32, passages [][]int32, target []int32) ([][]float32, error) {
	return o.logits(ctx, p, text, passages, target, o.long(p, text, passages))
}

// long reports whether a stride after the text turns by the frequencies of long texts.
func (o *Oracle) long(p placement.Placement, text []int32, passages [][]int32) bool {
	if len(passages) == 0 || len(text) < 2 {
		p, passages = placement.None, nil
	}
	lengths := make([]int, len(passages))
	for i, tokens := range passages {
		lengths[i] = len(tokens)
	}
	return o.w.Config.Long(p.Positions(len(text), lengths, 0))
}

func (o *Oracle) logits(ctx context.Context, p placement.Placement, text []int32, passages [][]int32, target []int32, long bool) ([][]float32, error) {
	if len(target) == 0 {
		return nil, nil
	}
	if len(text) == 0 {
		return nil, errors.New("oracle: the text is empty")
	}
	c := o.w.Config
	p = p.For(c.Positions > 0, placement.DefaultReserve)
	f, err := flatten(p, text, passages, target)
	if err != nil {
		return nil, err
	}
	f.long = long
	for _, position := range f.positions {
		if c.Positions > 0 && (position < 0 || position >= c.Positions) {
			return nil, fmt.Errorf("oracle: position %d is none of the model's %d", position, c.Positions)
		}
	}
	for _, t := range f.tokens {
		if (t < 0 || int(t) >= o.w.Config.Vocab) && (o.a == nil || o.a.Row(t) == nil) {
			return nil, fmt.Errorf("oracle: token %d is not in the vocabulary of %d", t, o.w.Config.Vocab)
		}
	}
	return forward(ctx, o.w, o.a, f, len(target))
}
