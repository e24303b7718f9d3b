package engine

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
)

// openDecoding returns a stride behind a prompt, with evidence unless the
// placement has none.
func openDecoding(t testing.TB, e *Engine, p placement.Placement, prompt int, lengths ...int) *stride {
	t.Helper()
	r := rand.New(rand.NewPCG(11, 12))
	var evidence []lm.Evidence
	for _, n := range lengths {
		evidence = append(evidence, lm.Evidence{Tokens: randomTokens(r, n), Weight: 1 / float64(len(lengths))})
	}
	s := e.NewSequence()
	t.Cleanup(s.Close)
	if err := s.Append(randomTokens(r, prompt)...); err != nil {
		t.Fatal(err)
	}
	st, err := s.open(context.Background(), p, evidence, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.close)
	return st
}

// decodeOne encodes a token, reads the logits and forgets the token.
func decodeOne(t testing.TB, st *stride, token []int32) {
	if _, err := st.decode(context.Background(), token); err != nil {
		t.Fatal(err)
	}
	st.logits(0)
	st.retract(1)
}

func TestDecodingAllocatesNothing(t *testing.T) {
	for _, compute := range []Compute{Exact, Fast} {
		for _, tt := range []struct {
			p        placement.Placement
			evidence []int
		}{
			{placement.None, nil},
			{placement.Virtual, []int{20, 30}},
			{placement.Append, []int{20, 30}}, // two branches, mixed
		} {
			e := newTiny(t, Options{Compute: compute, Threads: 2})
			st := openDecoding(t, e, tt.p, 40, tt.evidence...)
			token := []int32{7}
			decodeOne(t, st, token)
			if n := testing.AllocsPerRun(20, func() { decodeOne(t, st, token) }); n != 0 {
				t.Errorf("%s, %s with %d passages: %v allocations a decoded token", compute, tt.p.Name, len(tt.evidence), n)
			}
		}
	}
}

// BenchmarkDecodeStep is one decoded token behind 64, without sampling.
func BenchmarkDecodeStep(b *testing.B) {
	st := openDecoding(b, newReal(b, Options{}), placement.None, 64)
	token := []int32{7}
	b.ReportAllocs()
	for b.Loop() {
		decodeOne(b, st, token)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}
