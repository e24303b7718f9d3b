package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
)

// TestFamiliesForks: in every family a fork and what it was taken from, forks of forks among
// them, go on side by side, each with a text and in placements of its own, with the bits of a
// sequence that never shared anything: pages that windows have left, positions behind a
// reserve and rotations of long texts among what they share. The page that they part in is
// copied once, and nothing of the text is encoded again.
func TestFamiliesForks(t *testing.T) {
	for _, name := range modeltest.Families(t) {
		m := modeltest.Family(t, name)
		for _, compute := range []Compute{Exact, Fast} {
			t.Run(name+"/"+string(compute), func(t *testing.T) {
				e, err := New(&m.Weights, Options{Compute: compute, Threads: 1})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				forksGoOnAlone(t, e, placement.None)
				forksGoOnAlone(t, e, placement.Virtual) // whose text stands elsewhere where positions are learned
			})
		}
	}
}

// forksGoOnAlone takes the forks while the text is as the placement has it.
func forksGoOnAlone(t *testing.T, e *Engine, at placement.Placement) {
	r := rand.New(rand.NewPCG(11, 5))
	evidence := []lm.Evidence{{Tokens: randomTokens(r, 20), Weight: 0.75}, {Tokens: randomTokens(r, 13), Weight: 0.25}}
	stride := func(s *Sequence, p placement.Placement) (rows [][]float32) {
		_, err := s.Continue(context.Background(), p, evidence, 3, pick(func(l []float32) int32 {
			rows = append(rows, slices.Clone(l))
			return greedy(l)
		}), nil)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	root := e.NewSequence()
	if err := root.Append(randomTokens(r, 101)...); err != nil { // phi3-long turns otherwise from 160 on, evidence counted: behind the forks
		t.Fatal(err)
	}
	for _, p := range []placement.Placement{placement.Append, at} {
		stride(root, p)
	}
	sequences := []*Sequence{root}
	for i := range 3 {
		f := sequences[i].Fork()
		before, copies := f.Counts(), e.KV().Copies
		if err := f.Append(randomTokens(r, 2)...); err != nil {
			t.Fatal(err)
		}
		stride(f, at)
		c := f.Counts().Sub(before)
		if encoded := c.Prompt + c.Prefilled; encoded > 2+3+at.Echo { // what is new, and what was sampled before
			t.Errorf("%s: fork %d encoded %d tokens in front of its first", at.Name, i, encoded)
		}
		if n := e.KV().Copies - copies; n > 1 {
			t.Errorf("fork %d copied %d pages", i, n)
		}
		sequences = append(sequences, f)
	}
	for round := range 3 {
		for i, s := range sequences {
			p := placement.All[(i+round)%len(placement.All)]
			fresh := e.NewSequence()
			fresh.SetSalt(fmt.Sprint(round, i))
			if err := fresh.Append(s.Tokens()...); err != nil {
				t.Fatal(err)
			}
			want := stride(fresh, p)
			if got := stride(s, p); !slices.EqualFunc(got, want, slices.Equal) {
				t.Errorf("round %d, sequence %d, %s: other logits than those of a fresh sequence", round, i, p.Name)
			}
			fresh.Close()
		}
	}
	for _, s := range sequences {
		s.Close()
	}
	for e.evict() {
	}
	if u := e.KV(); u.Pages != 0 {
		t.Errorf("%d pages are left", u.Pages)
	}
}
