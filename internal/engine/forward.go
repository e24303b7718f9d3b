package engine

import (
	"context"
	"fmt"

	"github.com/flashback-lm/flashback/internal/kvcache"
)

// segment is a run of tokens to encode: they go to the end of one span and see
// a view, then the entries of that span up to their own.
type segment struct {
	tokens  []int32
	view    []kvcache.Part
	into    *kvcache.Span
	adapter *Adapter // changes its rows; nil: none
	// The rows from logitsFrom on are passed through the output head, in order,
	// and their logits [vocabulary] given to emit, which must not keep them.
	logitsFrom int
	emit       func(row int, logits []float32)
}

// forward encodes the segments. A segment may see what earlier segments of the
// same call write. On an error all spans are as before.
func (e *Engine) forward(ctx context.Context, segments []segment) (err error) {
	e.turn.Lock()
	defer e.turn.Unlock()
	w := e.work
	w.before = w.before[:0]
	for _, s := range segments {
		w.before = append(w.before, s.into.Len())
	}
	before := w.before
	defer func() {
		if err != nil {
			for i := len(segments) - 1; i >= 0; i-- {
				segments[i].into.Truncate(before[i])
			}
		}
	}()
	for i, s := range segments {
		for _, t := range s.tokens {
			if (t < 0 || int(t) >= e.weights.Config.Vocab) && !s.has(t) {
				return fmt.Errorf("token %d is not in the model's vocabulary of %d", t, e.weights.Config.Vocab)
			}
		}
		before[i] = s.into.Len()
		if err := s.into.Extend(len(s.tokens)); err != nil {
			return err
		}
	}
	chunk, rows := w.chunk[:0], 0
	for i := range segments {
		s := &segments[i]
		for from := 0; from < len(s.tokens); {
			n := min(len(s.tokens)-from, w.batch-rows)
			chunk = append(chunk, piece{segment: s, from: from, count: n, entry: before[i] + from})
			w.chunk = chunk
			from += n
			if rows += n; rows == w.batch {
				if err := w.encode(ctx, chunk); err != nil {
					return err
				}
				chunk, rows = chunk[:0], 0
			}
		}
	}
	if rows == 0 {
		return nil
	}
	return w.encode(ctx, chunk)
}
