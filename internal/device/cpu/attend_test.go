package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/kvcache"
)

// attending is a batch of tokens whose keys and values are stored: they see a part
// of another span, then their own.
type attending struct {
	device.Attention
	kv      *KV
	q, k, v []float32 // of all tokens: those of the other span, then the batch's
	before  int       // tokens in the other span
	rows    device.Rows
}

func normal(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// newAttending stores random tokens, unrotated.
func newAttending(t testing.TB, d *Device, shape device.AttendShape, format kvcache.Format, before, seen, count int) *attending {
	t.Helper()
	kv := NewKV(kvcache.Shape{Layers: 1, KVHeads: shape.KVHeads, HeadDim: shape.HeadDim, Format: format}, 64)
	pool := kvcache.NewPool(kv)
	rng := rand.New(rand.NewPCG(1, 1))
	n := before + count
	a := &attending{Attention: device.NewAttention(shape), kv: kv, before: before,
		q: normal(rng, n*shape.Heads*shape.HeadDim), k: normal(rng, n*shape.KVHeads*shape.HeadDim), v: normal(rng, n*shape.KVHeads*shape.HeadDim)}
	other, self := pool.NewSpan(0), pool.NewSpan(before)
	for span, tokens := range map[*kvcache.Span]int{other: before, self: count} {
		if err := span.Extend(tokens); err != nil {
			t.Fatal(err)
		}
	}
	cos, sin := make([]float32, n*shape.HeadDim/2), make([]float32, n*shape.HeadDim/2)
	for i := range cos {
		cos[i] = 1
	}
	a.rows = device.Rows{First: before, Count: count, Self: self}
	if seen > 0 {
		a.rows.View = []kvcache.Part{other.Prefix(seen)}
	}
	d.Store(a.q, a.k, a.v, Angles{Cos: cos, Sin: sin, Pairs: shape.HeadDim / 2}, kv, 0, shape, []device.Rows{{Count: before, Self: other}, a.rows})
	return a
}

// attend returns the outputs of the batch, computed a few tokens at a time.
func (a *attending) attend(d *Device, step int) []float32 {
	out := make([]float32, len(a.q))
	for from := 0; from < a.rows.Count; from += step {
		r := a.rows
		r.First, r.SelfFirst, r.Count = r.First+from, r.SelfFirst+from, min(step, r.Count-from)
		d.Attend(out, a.q, a.kv, 0, &a.Attention, []device.Rows{r})
	}
	return out
}

// rounded returns x as a format keeps it, heads of dim elements.
func rounded(x []float32, format kvcache.Format, dim int) []float32 {
	set, _ := kernel.Named("go")
	y := slices.Clone(x)
	switch format {
	case kvcache.F16:
		half := make([]uint16, len(x))
		set.ToHalf(half, x)
		set.FromHalf(y, half)
	case kvcache.Q8:
		var q kernel.Quantized
		for at := 0; at < len(x); at += dim {
			padded := append(slices.Clone(x[at:at+dim]), make([]float32, -dim&31)...)
			q.Resize(1, len(padded))
			set.Quantize(&q, 0, padded)
			for i := range dim {
				y[at+i] = float32(q.Q[i]) * q.Blocks[i/32].Scale
			}
		}
	case kvcache.I16:
		codes, scales := make([]int16, len(x)), make([]float32, len(x)/dim)
		set.Code16(codes, dim, scales, x, dim, len(x)/dim, dim, kvcache.MostI16)
		for i, c := range codes {
			y[i] = float32(c) * scales[i/dim]
		}
	}
	return y
}

// TestAttend compares with attention in f64 over the keys and values as they are
// stored, and holds whole batches on one thread to single tokens on two, bit for
// bit.
func TestAttend(t *testing.T) {
	shapes := []device.AttendShape{{Heads: 9, KVHeads: 3, HeadDim: 64}, {Heads: 2, KVHeads: 2, HeadDim: 40}}
	for _, set := range kernel.Sets() {
		for _, format := range []kvcache.Format{kvcache.F32, kvcache.F16, kvcache.Q8, kvcache.I16} {
			for _, shape := range shapes {
				t.Run(fmt.Sprintf("%s/%v/%d", set.Name, format, shape.HeadDim), func(t *testing.T) {
					one, two := New(set, 1), New(set, 2)
					defer one.Close()
					defer two.Close()
					const before, seen, count = 280, 270, 140
					a := newAttending(t, one, shape, format, before, seen, count)
					got := a.attend(one, count)
					for _, step := range []int{1, 50} {
						if !slices.Equal(got, a.attend(two, step)) {
							t.Fatalf("%d tokens at a time give other bits", step)
						}
					}
					a.compare(t, got, toleranceOf(format), seen, rounded(a.k, format, shape.HeadDim), rounded(a.v, format, shape.HeadDim))
				})
			}
		}
	}
}

// toleranceOf is how far attention may be from plain attention over the same keys and
// values.
func toleranceOf(format kvcache.Format) float64 {
	if format == kvcache.I16 {
		return 3e-4 // queries and weights are rounded to 13 and 14 bits, too
	}
	return 1e-5
}

func (a *attending) compare(t *testing.T, got []float32, tolerance float64, seen int, k, v []float32) {
	t.Helper()
	s, hd := a.AttendShape, a.HeadDim
	for i := 0; i < a.rows.Count; i += 13 {
		for h := range s.Heads {
			at := ((a.before+i)*s.Heads + h) * hd
			want, sum := make([]float64, hd), 0.0
			for token := range a.before + i + 1 {
				if token >= seen && token < a.before {
					continue
				}
				if whole := token < a.before && a.rows.View[0].Whole; a.Window > 0 && token <= a.before+i-a.Window && !whole {
					continue
				}
				from, score := (token*s.KVHeads+h/(s.Heads/s.KVHeads))*hd, 0.0
				for d := range hd {
					score += float64(a.q[at+d]) * float64(k[from+d])
				}
				score *= a.Scale
				if a.SoftCap > 0 {
					score = a.SoftCap * math.Tanh(score/a.SoftCap)
				}
				weight := math.Exp(score)
				sum += weight
				for d := range hd {
					want[d] += weight * float64(v[from+d])
				}
			}
			for d := range hd {
				if got := float64(got[at+d]); math.Abs(got-want[d]/sum) > tolerance {
					t.Fatalf("token %d head %d: [%d] = %v, want %v", i, h, d, got, want[d]/sum)
				}
			}
		}
	}
}
