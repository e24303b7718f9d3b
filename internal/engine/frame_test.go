package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
)

// TestFrames: a sequence whose text starts elsewhere, or turns otherwise, from one stride
// to the next gives the bits of one that never did otherwise.
func TestFrames(t *testing.T) {
	for _, name := range []string{"gpt2", "opt", "phi3-long"} {
		m := modeltest.Family(t, name)
		e, err := New(&m.Weights, Options{Compute: Exact, Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		r := rand.New(rand.NewPCG(3, 3))
		text := randomTokens(r, 118) // phi3-long turns otherwise from position 160 on
		ev := []lm.Evidence{{Tokens: randomTokens(r, 20), Weight: 1}}
		logits := func(s *Sequence, p placement.Placement) (row []float32) {
			_, err := s.Continue(context.Background(), p, ev, 1, pick(func(l []float32) int32 {
				row = slices.Clone(l)
				return 7
			}), nil)
			if err != nil {
				t.Fatal(err)
			}
			return row
		}
		kept := e.NewSequence()
		if err := kept.Append(text...); err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			p := placement.All[i%len(placement.All)]
			fresh := e.NewSequence()
			fresh.SetSalt("another " + p.Name)
			if err := fresh.Append(kept.Tokens()...); err != nil {
				t.Fatal(err)
			}
			want := logits(fresh, p)
			if got := logits(kept, p); !slices.Equal(got, want) {
				t.Errorf("%s, %d tokens, %s: a kept text gives other logits than a fresh one", name, kept.Len(), p.Name)
			}
			fresh.Close()
		}
		kept.Close()
	}
}

// TestReserve: what does not fit a model's learned positions is an error.
func TestReserve(t *testing.T) {
	m := modeltest.Family(t, "gpt2") // 512 positions
	e, err := New(&m.Weights, Options{Compute: Exact, Threads: 1, Reserve: 50})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	r := rand.New(rand.NewPCG(3, 3))
	try := func(text, evidence int, p placement.Placement) error {
		s := e.NewSequence()
		defer s.Close()
		if err := s.Append(randomTokens(r, text)...); err != nil {
			t.Fatal(err)
		}
		ev := []lm.Evidence{{Tokens: randomTokens(r, evidence), Weight: 1}}
		_, err := s.Continue(context.Background(), p, ev[:min(evidence, 1)], 2, pickGreedy, nil)
		return err
	}
	if err := try(460, 50, placement.Virtual); err != nil {
		t.Errorf("all positions: %v", err)
	}
	if err := try(461, 50, placement.Virtual); !errors.Is(err, ErrTooLong) {
		t.Errorf("one position too many: %v", err)
	}
	if err := try(510, 0, placement.None); err != nil {
		t.Errorf("without evidence: %v", err)
	}
	if err := try(20, 51, placement.Virtual); err == nil || !strings.Contains(err.Error(), "51 tokens does not fit the 50 positions") {
		t.Errorf("a long passage: %v", err)
	}
	if _, err := New(&m.Weights, Options{Reserve: 512}); err == nil {
		t.Error("a reserve of all positions")
	}
}
