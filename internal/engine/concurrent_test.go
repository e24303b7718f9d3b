package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
)

// TestConcurrentUse lets sequences with adapters and without write while what they
// wrote is computed again. Each must have the bits that it has on an engine of its
// own, and the race detector nothing to report.
func TestConcurrentUse(t *testing.T) {
	const tokens, strides = 6, 2
	adapters := []func(e *Engine) *Adapter{
		func(*Engine) *Adapter { return nil },
		func(e *Engine) *Adapter { return load(t, e, adapter(false, 1)) },
		func(e *Engine) *Adapter { return load(t, e, adapter(true, 2)) },
	}
	// writing returns the logits of two strides, after comparing them with recomputing.
	writing := func(e *Engine, a *Adapter, p placement.Placement) (rows [][]float32, err error) {
		r := rand.New(rand.NewPCG(3, 4))
		s := e.NewSequence()
		defer s.Close()
		if err := s.SetAdapter(a); err != nil {
			return nil, err
		}
		if err := s.Append(randomTokens(r, 50)...); err != nil {
			return nil, err
		}
		evidence := []lm.Evidence{{Tokens: randomTokens(r, 40), Weight: 1}}
		again := e.Recompute
		if a != nil {
			again = a.Recompute
		}
		for range strides {
			text, first := slices.Clone(s.Tokens()), len(rows)
			sampled, err := s.Continue(context.Background(), p, evidence, tokens, pick(func(logits []float32) int32 {
				rows = append(rows, slices.Clone(logits))
				return greedy(logits)
			}), nil)
			if err != nil {
				return nil, err
			}
			recomputed, err := again(context.Background(), p, text, evidence, sampled)
			if err != nil {
				return nil, err
			}
			for i, row := range recomputed {
				if !slices.Equal(row, rows[first+i]) {
					return nil, fmt.Errorf("token %d of the stride from token %d on is not that of recomputing", i, len(text))
				}
			}
		}
		return rows, nil
	}

	shared := newTiny(t, Options{Threads: 2})
	var writers sync.WaitGroup
	for i, adapted := range adapters {
		for _, p := range placement.All {
			alone := newTiny(t, Options{Threads: 1})
			want, err := writing(alone, adapted(alone), p)
			if err != nil {
				t.Fatal(err)
			}
			a := adapted(shared)
			writers.Go(func() {
				got, err := writing(shared, a, p)
				if err != nil {
					t.Errorf("adapter %d, %s: %v", i, p.Name, err)
					return
				}
				for j := range want {
					if !slices.Equal(got[j], want[j]) {
						t.Errorf("adapter %d, %s: token %d depends on other sequences", i, p.Name, j)
						return
					}
				}
			})
		}
	}
	writers.Wait()
}
