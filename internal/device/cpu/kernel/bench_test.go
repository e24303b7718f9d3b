package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// each runs a benchmark for every set.
func each(b *testing.B, run func(b *testing.B, set *Set)) {
	for _, set := range Sets() {
		b.Run(set.Name, func(b *testing.B) {
			b.ReportAllocs()
			run(b, set)
		})
	}
}

// flops reports the rate of floating-point operations and its share of the peak,
// the best of a few runs at once, because clocks change and others compute too.
func flops(b *testing.B, set *Set, perOp float64) {
	b.StopTimer()
	rate := perOp * float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(rate/1e9, "GFLOP/s")
	var most float64
	for range 5 {
		start := time.Now()
		done := peak(set)
		most = max(most, done/time.Since(start).Seconds())
	}
	if most > 0 {
		b.ReportMetric(100*rate/most, "%peak")
	}
}

// bytes reports the rate at which stored weights are read.
func bytes(b *testing.B, perOp int) {
	b.ReportMetric(float64(perOp)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
}

func random(n int) []float32 {
	return fill(rand.New(rand.NewPCG(1, 1)), make([]float32, n), 1)
}

// The shapes of BenchmarkMatMul are those of a 135M model: prefill against a
// panel of weights, and one row.
func BenchmarkMatMul(b *testing.B) {
	for _, s := range []struct{ m, n, k, ldx, ldw int }{
		{128, 16, 576, 576, 576},
		{128, 64, 576, 576, 576},
		{128, 16, 1536, 1536, 1536},
		{128, 64, 1536, 1536, 1536},
		{512, 32, 576, 576, 576},
		{1, 64, 576, 576, 576},
	} {
		b.Run(fmt.Sprintf("%dx%dx%d", s.m, s.n, s.k), func(b *testing.B) {
			each(b, func(b *testing.B, set *Set) {
				x, w, out := random(s.m*s.ldx), random(s.n*s.ldw), make([]float32, s.m*s.n)
				for b.Loop() {
					set.MatMul(out, s.n, x, s.ldx, w, s.ldw, s.m, s.n, s.k)
				}
				flops(b, set, 2*float64(s.m*s.n*s.k))
			})
		})
	}
}

// BenchmarkMatMulInt8 multiplies as in prefill, a few groups of weights at a
// time, and one row with weights from memory.
func BenchmarkMatMulInt8(b *testing.B) {
	for _, t := range codingTypes {
		for _, s := range []struct{ m, n, k int }{{128, 64, 768}, {128, 64, 1536}, {1, 49152, 768}} {
			b.Run(fmt.Sprintf("%v/%dx%dx%d", t, s.m, s.n, s.k), func(b *testing.B) {
				w := tensor.Matrix{Type: t, Rows: s.n, Cols: s.k, Data: stored(rand.New(rand.NewPCG(1, 1)), new(guard), t, s.n*s.k)}
				p, err := Repack(w)
				if err != nil {
					b.Fatal(err)
				}
				each(b, func(b *testing.B, set *Set) {
					if set == plain && s.m == 1 {
						b.Skip("slow, and no different")
					}
					x, out := random(s.k), make([]float32, s.m*s.n)
					var q Quantized
					q.Resize(s.m, s.k)
					for i := range s.m {
						set.Quantize(&q, i, x)
					}
					for b.Loop() {
						set.MatMulInt8(out, s.n, &q, 0, s.m, p, 0, p.Groups())
					}
					bytes(b, len(p.data))
					flops(b, set, 2*float64(s.m*s.n*s.k))
				})
			})
		}
	}
}

func BenchmarkRepack(b *testing.B) {
	for _, t := range types {
		b.Run(t.String(), func(b *testing.B) {
			const rows, cols = 256, 768
			w := tensor.Matrix{Type: t, Rows: rows, Cols: cols, Data: stored(rand.New(rand.NewPCG(1, 1)), new(guard), t, rows*cols)}
			for b.Loop() {
				if _, err := Repack(w); err != nil {
					b.Fatal(err)
				}
			}
			bytes(b, len(w.Data))
			b.ReportMetric(rows*cols*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gweights/s")
		})
	}
}

// BenchmarkAccumulate has the shapes of attention over a block with heads of 64:
// scores (64 rows of keys) and outputs (32 rows of values), from f32 and f16.
func BenchmarkAccumulate(b *testing.B) {
	for _, s := range []struct{ m, n, dim int }{{48, 64, 32}, {3, 64, 32}, {1, 64, 32}, {48, 32, 64}, {3, 32, 64}, {1, 32, 64}} {
		p, v, acc := random(s.m*s.n), random(s.n*s.dim), make([]float32, s.m*s.dim)
		half := make([]uint16, len(v))
		toHalf(half, v)
		work := 2 * float64(s.m*s.n*s.dim)
		b.Run(fmt.Sprintf("f32/%dx%dx%d", s.m, s.n, s.dim), func(b *testing.B) {
			each(b, func(b *testing.B, set *Set) {
				for b.Loop() {
					set.Accumulate(acc, s.dim, p, s.n, v, s.dim, s.m, s.n, s.dim)
				}
				flops(b, set, work)
			})
		})
		b.Run(fmt.Sprintf("f16/%dx%dx%d", s.m, s.n, s.dim), func(b *testing.B) {
			each(b, func(b *testing.B, set *Set) {
				for b.Loop() {
					set.AccumulateHalf(acc, s.dim, p, s.n, half, s.m, s.n, s.dim, nil)
				}
				flops(b, set, work)
			})
		})
	}
}

// BenchmarkInt16 measures scores and outputs of a block and weights of four in 16 bits, heads of 64:
// the rows of a tile of a prefill and of a decode.
func BenchmarkInt16(b *testing.B) {
	const dim, keys = 64, blockColumns
	codes, scales := make([]int16, dim*keys), make([]float32, 4*128)
	for i := range scales {
		scales[i] = 1
	}
	for _, m := range []int{108, 3} {
		p, acc, x := make([]int16, m*128), make([]float32, m*dim), random(m*128)
		tops, sums, rowScales := make([]float32, m), make([]float32, m), make([]float32, 4*m)
		for _, f := range []struct {
			name string
			work int
			run  func(set *Set)
		}{
			{"scores", m * keys * dim, func(set *Set) {
				set.ScoresInt16(acc, keys, p, dim, scales, codes, scales, m, dim, nil)
			}},
			{"outputs", m * keys * dim, func(set *Set) {
				set.OutputsInt16(acc, dim, p, keys, scales, codes, m, keys/2, dim, nil)
			}},
			{"weights", m * 128 / 2, func(set *Set) {
				set.WeightsInt16(p, 128, rowScales, m, x, 128, m, 4, 0.1, scales, tops, sums, acc, dim)
			}},
		} {
			b.Run(fmt.Sprintf("%s/%d", f.name, m), func(b *testing.B) {
				each(b, func(b *testing.B, set *Set) {
					for b.Loop() {
						f.run(set)
					}
					flops(b, set, 2*float64(f.work))
				})
			})
		}
	}
}

// BenchmarkMatVec reads weights from the second cache (256 rows) and from memory
// (as many rows as a vocabulary).
func BenchmarkMatVec(b *testing.B) {
	const k = 768 // whole blocks of every type
	for _, t := range types {
		for _, n := range []int{256, 49152} {
			b.Run(fmt.Sprintf("%v/%d", t, n), func(b *testing.B) {
				each(b, func(b *testing.B, set *Set) {
					if set == plain && n > 256 {
						b.Skip("slow, and no different")
					}
					w := stored(rand.New(rand.NewPCG(1, 1)), new(guard), t, n*k)
					x, out := random(k), make([]float32, n)
					for b.Loop() {
						set.MatVec(t, out, x, w, n, k)
					}
					bytes(b, len(w))
					flops(b, set, 2*float64(n*k))
				})
			})
		}
	}
}

func BenchmarkDequantize(b *testing.B) {
	for _, t := range types {
		b.Run(t.String(), func(b *testing.B) {
			each(b, func(b *testing.B, set *Set) {
				const n = 16 * 768
				src, dst := stored(rand.New(rand.NewPCG(1, 1)), new(guard), t, n), make([]float32, n)
				for b.Loop() {
					set.Dequantize(t, dst, src)
				}
				bytes(b, len(src))
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gweights/s")
			})
		})
	}
}

// BenchmarkRows measures what goes over a row once. Each run begins with fresh
// values: what works in place would run into subnormal numbers.
func BenchmarkRows(b *testing.B) {
	y, cos, sin := random(1536), random(32), random(32)
	var q Quantized
	q.Resize(1, 576)
	halves := make([]uint16, 576)
	for _, f := range []struct {
		name string
		n    int
		run  func(set *Set, x []float32)
	}{
		{"Quantize", 576, func(set *Set, x []float32) { set.Quantize(&q, 0, x) }},
		{"ToHalf", 576, func(set *Set, x []float32) { set.ToHalf(halves, x) }},
		{"Softmax", 32, func(set *Set, x []float32) { set.Softmax(x, 0.125, 1) }},
		{"SwiGLU", 1536, func(set *Set, x []float32) { set.SwiGLU(x, y) }},
		{"RMSNorm", 576, func(set *Set, x []float32) { set.RMSNorm(x, x, y[:576], 1e-5) }},
		{"Add", 576, func(set *Set, x []float32) { set.Add(x, y[:576]) }},
		{"Scale", 64, func(set *Set, x []float32) { set.Scale(x, 0.5) }},
		{"Rotate", 64, func(set *Set, x []float32) { set.Rotate(x, cos, sin) }},
	} {
		b.Run(fmt.Sprintf("%s/%d", f.name, f.n), func(b *testing.B) {
			each(b, func(b *testing.B, set *Set) {
				x := make([]float32, f.n)
				for b.Loop() {
					copy(x, y)
					f.run(set, x)
				}
				b.ReportMetric(float64(f.n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gvalues/s")
			})
		})
	}
}

// BenchmarkRounded measures products of rounded matrices, of which the right one is packed:
// a unit of a training step, in turns with the same product in f32.
func BenchmarkRounded(b *testing.B) {
	const rows, n, k = 96, RoundedColumns, 576
	acc, left, right := make([]float32, rows*n), random(rows*k), random(k*n)
	codes, scales, packed := make([]uint16, rows*k), make([]float32, rows*k/RoundedBlock), make([]uint32, n*k/2)
	edge := make([]float32, rows*n)
	each(b, func(b *testing.B, set *Set) {
		if set.Rounding == nil {
			b.Skip("no product is faster than f32")
		}
		for i := range packed {
			packed[i] = uint32(i)
		}
		for i := range rows {
			set.Rounding.Left(codes[i*k:][:k], scales[i*k/RoundedBlock:], left[i*k:][:k])
		}
		b.Run("f32", func(b *testing.B) {
			for b.Loop() {
				set.Accumulate(acc, n, left, k, right, n, rows, k, n)
			}
			flops(b, set, 2*rows*n*k)
		})
		b.Run(set.Rounding.Name, func(b *testing.B) {
			for b.Loop() {
				set.Rounding.MatMul(acc, n, codes, scales, packed, 1, rows, n, k, edge)
			}
			flops(b, set, 2*rows*n*k)
		})
	})
}
