package kernel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/kvcache"
)

// The attention of a 135M model behind a long context. Layers take turns, so that
// keys and values come from memory as they do in a forward.
const (
	depth  = 4096
	layers = 30
)

var (
	shape = device.AttendShape{Heads: 9, KVHeads: 3, HeadDim: 64}
	whole = device.NewAttention(shape)
)

// BenchmarkAttention measures attention as a whole, scores, softmax and outputs,
// on one thread: a tile of a prefill and the row of a decode. Of all samples the
// fastest counts, with the peak measured after each, because clocks change and
// others compute too. Floating-point operations are those of the two products.
func BenchmarkAttention(b *testing.B) {
	for _, format := range []kvcache.Format{kvcache.F32, kvcache.F16, kvcache.I16, kvcache.Q8} {
		b.Run(format.String(), func(b *testing.B) {
			kv := cpu.NewKV(kvcache.Shape{Layers: layers, KVHeads: shape.KVHeads, HeadDim: shape.HeadDim, Format: format}, 2*kvcache.Blocks(depth))
			pool := kvcache.NewPool(kv)
			context := extended(b, pool, kv, 0, depth)
			for _, tokens := range []int{36, 1} {
				own := extended(b, pool, kv, depth, tokens)
				rows := []device.Rows{{Count: tokens, View: []kvcache.Part{context.All()}, Self: own}}
				b.Run(fmt.Sprintf("rows=%d", tokens), func(b *testing.B) {
					for _, set := range kernel.Sets() {
						b.Run(set.Name, func(b *testing.B) { attention(b, set, tokens, rows, kv) })
					}
				})
			}
		})
	}
}

// attention reports the rate of attention, its share of the peak, and the rate at
// which it reads keys and values.
func attention(b *testing.B, set *kernel.Set, tokens int, rows []device.Rows, kv *cpu.KV) {
	d := cpu.New(set, 1)
	defer d.Close()
	q := noise(tokens * shape.Heads * shape.HeadDim)
	out := make([]float32, len(q))
	seen := tokens*depth + tokens*(tokens+1)/2
	operations := 4 * float64(shape.Heads*shape.HeadDim) * float64(seen)
	read := float64(depth+tokens) * float64(kv.Shape().TokenBytes()) / layers
	b.ReportAllocs()
	fastest, most, layer := math.Inf(1), 0.0, 0
	for b.Loop() {
		start := time.Now()
		d.Attend(out, q, kv, layer, &whole, rows)
		fastest = min(fastest, time.Since(start).Seconds())
		layer = (layer + 1) % layers
		b.StopTimer()
		start = time.Now()
		most = max(most, kernel.Peak(set)/time.Since(start).Seconds())
		b.StartTimer()
	}
	b.ReportMetric(operations/fastest/1e9, "GFLOP/s")
	b.ReportMetric(read/fastest/1e9, "GB/s")
	if most > 0 {
		b.ReportMetric(most/1e9, "GFLOP/s-peak")
		b.ReportMetric(100*operations/fastest/most, "%peak")
	}
}

// extended returns a span of n entries with random keys and values in all layers.
func extended(b *testing.B, pool *kvcache.Pool, kv *cpu.KV, start, n int) *kvcache.Span {
	d := cpu.New(kernel.Best(), 1)
	defer d.Close()
	span := pool.NewSpan(start)
	if err := span.Extend(n); err != nil {
		b.Fatal(err)
	}
	q := noise(n * shape.Heads * shape.HeadDim)
	keys, values := noise(n*shape.KVHeads*shape.HeadDim), noise(n*shape.KVHeads*shape.HeadDim)
	for layer := range layers {
		d.Store(q, keys, values, cpu.Angles{}, kv, layer, shape, []device.Rows{{Count: n, Self: span}})
	}
	return span
}

func noise(n int) []float32 {
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, n)
	for i := range x {
		x[i] = 2*r.Float32() - 1
	}
	return x
}
