package engine

import (
	"context"
	"slices"

	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
)

// Recompute returns the logits [len(target)][vocabulary] that predict each
// target token, computed by the same kernels from empty caches with everything
// in one chunk. They are bit-equal to those of a sequence that kept its KV: the
// first half of the exactness promise.
func (e *Engine) Recompute(ctx context.Context, p placement.Placement, text []int32, evidence []lm.Evidence, target []int32) ([][]float32, error) {
	return e.recompute(ctx, nil, p, text, evidence, target)
}

func (e *Engine) recompute(ctx context.Context, a *Adapter, p placement.Placement, text []int32, evidence []lm.Evidence, target []int32) ([][]float32, error) {
	echo := min(p.Echo, len(text))
	tokens := len(text) + echo + len(target)
	for _, ev := range evidence {
		// Prepending repeats the text in every branch.
		tokens += len(ev.Tokens) + len(text) + echo + len(target)
	}
	storage, err := e.dev.NewKV(e.pool.Shape(), kvcache.Blocks(tokens)+3*(len(evidence)+1))
	if err != nil {
		return nil, err
	}
	work, err := e.newWorkspace(tokens, storage)
	if err != nil {
		return nil, err
	}
	defer work.device.Close()
	s := (&Engine{core: e.core, start: e.start, batch: newBatch(work), pool: kvcache.NewPool(storage)}).NewSequence()
	defer s.Close()
	if err := s.SetAdapter(a); err != nil {
		return nil, err
	}
	if err := s.Append(text...); err != nil {
		return nil, err
	}
	var rows [][]float32
	err = s.score(ctx, p, evidence, &scoring{target: target, sampled: true, row: func(logits []float32) {
		rows = append(rows, slices.Clone(logits))
	}})
	return rows, err
}
