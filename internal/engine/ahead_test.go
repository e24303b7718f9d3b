package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
)

// strides runs some strides with evidence, one without, and returns all logits and
// the counts; ahead encodes the text before each.
func strides(t *testing.T, e *Engine, p placement.Placement, ahead bool) (logits [][]float32, counts lm.Counts) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 9))
	s := e.NewSequence()
	defer s.Close()
	if err := s.Append(randomTokens(r, 70)...); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		evidence := []lm.Evidence{{Tokens: randomTokens(r, 35), Weight: .75}, {Tokens: randomTokens(r, 9), Weight: .25}}
		if i == 2 {
			evidence = nil
		}
		if ahead {
			context, before := p.Layout(s.Len(), []int{1}).Context, s.context.Len()
			if err := s.Encode(t.Context(), context); err != nil {
				t.Fatal(err)
			}
			if got, want := s.context.Len(), max(before, min(context, s.Len()-1)); got != want {
				t.Fatalf("%d tokens are encoded, want %d", got, want)
			}
		}
		_, err := s.Continue(context.Background(), p, evidence, 7, pick(func(l []float32) int32 {
			logits = append(logits, slices.Clone(l))
			return greedy(l)
		}), nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	return logits, s.Counts()
}

// TestEncodingAheadChangesNothing: same bits, same counts, in every placement.
func TestEncodingAheadChangesNothing(t *testing.T) {
	for _, opt := range computePaths() {
		for name, p := range layouts(t) {
			t.Run(opt.Kernels+"/"+string(opt.Compute)+"/"+name, func(t *testing.T) {
				e := newTiny(t, opt)
				want, counted := strides(t, e, p, false)
				e = newTiny(t, opt) // nothing kept
				got, recounted := strides(t, e, p, true)
				if counted != recounted {
					t.Errorf("counted %+v, want %+v", recounted, counted)
				}
				for i := range want {
					if !slices.Equal(got[i], want[i]) {
						t.Fatalf("other logits at token %d", i)
					}
				}
			})
		}
	}
}

func TestEncodeIsCancelled(t *testing.T) {
	s := newTiny(t, Options{}).NewSequence()
	defer s.Close()
	if err := s.Append(1, 2, 3); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Encode(ctx, s.Len()); !errors.Is(err, context.Canceled) || s.context.Len() != 0 || s.ahead != 0 {
		t.Errorf("%v, %d encoded, %d counted", err, s.context.Len(), s.ahead)
	}
}
