package bm25

import (
	"math/rand/v2"
	"testing"
)

// TestSurfaceTable compares with a map: tokens of all lengths, prefixes of each
// other, at any place of their text.
func TestSurfaceTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	table, want := newSurfaceTable(), map[string]uint32{}
	for term := range uint32(20_000) {
		text := make([]byte, rng.IntN(40)+1)
		for i := range text {
			text[i] = "ab\x00\xff"[rng.IntN(4)]
		}
		from := rng.IntN(len(text))
		to := from + 1 + rng.IntN(min(len(text)-from, surfaceShort))
		token := string(text[from:to])
		low, high := packToken(string(text), from, to)
		slot := table.find(low, high)
		known, ok := want[token]
		if ok != (slot.high != 0) || ok && slot.term != known {
			t.Fatalf("%q: found %d (%v), want %d (%v)", token, slot.term, slot.high != 0, known, ok)
		}
		if !ok {
			table.add(low, high, term)
			want[token] = term
		}
	}
}
