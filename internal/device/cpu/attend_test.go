package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/kvcache"
)

// BenchmarkAttend is the attention of one layer of a 135M model, on one thread
// so that the rate can be held to a core's peak: a prefill without depth, one
// behind 4,096 tokens, and a decoded token there.
func BenchmarkAttend(b *testing.B) {
	shape := AttendShape{Heads: 9, KVHeads: 3, HeadDim: 64}
	for _, c := range []struct{ depth, rows int }{{0, 256}, {256, 256}, {4096, 144}, {4096, 1}} {
		for _, half := range []bool{false, true} {
			b.Run(fmt.Sprintf("depth=%d/rows=%d/half=%t", c.depth, c.rows, half), func(b *testing.B) {
				d := New(kernel.Best(), 1)
				defer d.Close()
				pool, err := kvcache.NewPool(kvcache.Shape{Layers: 1, KVHeads: shape.KVHeads, HeadDim: shape.HeadDim, Half: half}, 1<<30)
				if err != nil {
					b.Fatal(err)
				}
				span := pool.NewSpan(0)
				n := c.depth + c.rows
				if err := span.Extend(n); err != nil {
					b.Fatal(err)
				}
				rng := rand.New(rand.NewPCG(1, 1))
				normal := func(n int) []float32 {
					x := make([]float32, n)
					for i := range x {
						x[i] = float32(rng.NormFloat64())
					}
					return x
				}
				width := shape.Heads * shape.HeadDim
				kv := shape.KVHeads * shape.HeadDim
				cos := make([]float32, n*shape.HeadDim/2)
				for i := range cos {
					cos[i] = 1
				}
				q := normal(n * width)
				d.Store(q, normal(n*kv), normal(n*kv), cos, make([]float32, len(cos)), 0, shape, []Rows{{Count: n, Self: span}})
				rows := []Rows{{Count: c.rows, Self: span, SelfFirst: c.depth}}
				out := make([]float32, c.rows*width)
				pairs := 0
				for i := range c.rows {
					pairs += c.depth + i + 1
				}
				for b.Loop() {
					d.Attend(out, q, 0, shape, rows)
				}
				b.ReportMetric(4*float64(pairs*width)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
