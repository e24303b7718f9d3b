package engine

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
)

func benchTokens(n int) []int32 {
	r := rand.New(rand.NewPCG(3, 4))
	ts := make([]int32, n)
	for i := range ts {
		ts[i] = int32(1000 + r.IntN(40000))
	}
	return ts
}

var pickGreedy = pick(greedy)

// BenchmarkPrefill encodes 512 tokens from nothing.
func BenchmarkPrefill(b *testing.B) {
	e := newReal(b, Options{})
	text := benchTokens(512)
	b.ReportAllocs()
	for b.Loop() {
		s := e.NewSequence()
		if err := s.Append(text...); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Continue(context.Background(), placement.None, nil, 1, pickGreedy, nil); err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
	b.ReportMetric(float64(b.N)*512/b.Elapsed().Seconds(), "tokens/s")
}

// BenchmarkDecode samples 64 tokens behind contexts of two lengths.
func BenchmarkDecode(b *testing.B) {
	for _, depth := range []int{16, 4096} {
		b.Run(map[int]string{16: "short", 4096: "depth=4096"}[depth], func(b *testing.B) {
			e := newReal(b, Options{})
			s := e.NewSequence()
			defer s.Close()
			if err := s.Append(benchTokens(depth)...); err != nil {
				b.Fatal(err)
			}
			if _, err := s.Continue(context.Background(), placement.None, nil, 2, pickGreedy, nil); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Continue(context.Background(), placement.None, nil, 64, pickGreedy, nil); err != nil {
					b.Fatal(err)
				}
				s.Truncate(depth + 1)
			}
			b.ReportMetric(float64(b.N)*64/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkStride is one stride of 16 tokens with 130 tokens of new evidence
// behind 4,096.
func BenchmarkStride(b *testing.B) {
	for _, p := range []placement.Placement{placement.Append, placement.Virtual} {
		b.Run(p.Name, func(b *testing.B) {
			const depth = 4096
			e := newReal(b, Options{})
			s := e.NewSequence()
			defer s.Close()
			if err := s.Append(benchTokens(depth)...); err != nil {
				b.Fatal(err)
			}
			evidence := []lm.Evidence{{Tokens: benchTokens(130), Weight: 1}}
			stride := func() {
				evidence[0].Tokens[0]++ // a passage never seen
				if _, err := s.Continue(context.Background(), p, evidence, 16, pickGreedy, nil); err != nil {
					b.Fatal(err)
				}
			}
			stride()
			b.ReportAllocs()
			for b.Loop() {
				stride()
				s.Truncate(depth + 16)
				s.context.Truncate(depth)
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/16, "ms/token")
		})
	}
}

// BenchmarkBatch is a decode step of sequences that write at once, behind 1024 tokens each.
func BenchmarkBatch(b *testing.B) {
	e := newReal(b, Options{KVBudget: 1 << 30})
	var sequences []*Sequence
	for range 16 {
		s := e.NewSequence()
		defer s.Close()
		if err := s.Append(benchTokens(1024)...); err != nil {
			b.Fatal(err)
		}
		sequences = append(sequences, s)
	}
	for _, n := range []int{1, 2, 4, 8, 16} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			const tokens = 16
			for _, s := range sequences[:n] {
				if _, err := s.Continue(context.Background(), placement.None, nil, 2, pickGreedy, nil); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				var writers sync.WaitGroup
				for _, s := range sequences[:n] {
					s.Truncate(1025)
					writers.Go(func() {
						if _, err := s.Continue(context.Background(), placement.None, nil, tokens, pickGreedy, nil); err != nil {
							b.Error(err)
						}
					})
				}
				writers.Wait()
			}
			b.ReportMetric(float64(b.N*n*tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
