package bm25

import (
	"math/rand/v2"
	"testing"
)

// TestSkipBelow compares the assembly and the plain Go with a plain loop.
func TestSkipBelow(t *testing.T) {
	rng := rand.New(rand.NewPCG(30, 31))
	for range 2000 {
		acc := make([]uint32, rng.IntN(200))
		for i := range acc {
			acc[i] = rng.Uint32N(1 << (8 + rng.UintN(23)))
		}
		need := 1 + rng.Uint32N(1<<31-1)
		want := len(acc)
		for i, sum := range acc {
			if sum >= need {
				want = i / stride * stride
				break
			}
		}
		if got := skipBelow(acc, need); got != want {
			t.Fatalf("%d of %d, want %d", got, len(acc), want)
		}
		if got, want := skipStrides(acc, need), skipStridesGo(acc, need); got != want {
			t.Fatalf("assembly %d of %d, Go %d", got, len(acc), want)
		}
	}
}
