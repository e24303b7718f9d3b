package cpu

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/fixture"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// tolerance is the relative error of a gradient tensor in f32; the sums are short,
// so most of it is margin.
const tolerance = 1e-4

func eachSet(t *testing.T, f func(t *testing.T, b *Backward)) {
	for _, set := range kernel.Sets() {
		t.Run(set.Name, func(t *testing.T) {
			d := New(set, 2)
			defer d.Close()
			f(t, NewBackward(d))
		})
	}
}

func noise(name string, n int, scale float32) []float32 { return fixture.Noise(name, n, scale, 0) }

// sizes of the attention that tools/reference/gradients.py computes
var torchShape = device.AttendShape{Heads: 6, KVHeads: 2, HeadDim: 8}

var torchSegments = []Segment{
	{0, 37, nil},
	{37, 21, []Run{{0, 30}}},
	{58, 5, []Run{{0, 29}, {37, 58}}},
	{63, 12, []Run{{0, 1}}},
	{75, 1, nil},
}

func matrix(rows, cols int, w []float32) tensor.Matrix {
	m := tensor.Matrix{Type: tensor.F32, Rows: rows, Cols: cols}
	for _, v := range w {
		m.Data = binary.LittleEndian.AppendUint32(m.Data, math.Float32bits(v))
	}
	return m
}

func TestBackwardMatchesTorch(t *testing.T) {
	want := fixture.Load(t, "testdata/backward.safetensors")
	eachSet(t, func(t *testing.T, b *Backward) {
		check := func(name string, got []float32) { t.Helper(); fixture.Close(t, name, got, want[name], tolerance) }

		x, scale := noise("norm.x", 9*40, 1), fixture.Noise("norm.w", 40, 0.2, 1)
		dx := make([]float32, len(x))
		b.RMSNormBackward(dx, noise("norm.dy", len(x), 1), x, scale, 9, 1e-5)
		check("norm.x", dx)

		dGate, dUp := make([]float32, 5*50), noise("swiglu.dy", 5*50, 1)
		b.SwiGLUBackward(dGate, dUp, noise("swiglu.gate", 5*50, 8), noise("swiglu.up", 5*50, 1), 5, 50)
		check("swiglu.gate", dGate)
		check("swiglu.up", dUp)

		x, scale = noise("layernorm.x", 9*40, 1), fixture.Noise("layernorm.w", 40, 0.2, 1)
		dx = make([]float32, len(x))
		b.LayerNormBackward(dx, noise("layernorm.dy", len(x), 1), x, scale, 9, 1e-5)
		check("layernorm.x", dx)

		for name, f := range map[string]device.Activation{"gelu": device.GELUTanh, "relu": device.ReLU} {
			dGate, dUp := make([]float32, 5*50), noise(name+".dy", 5*50, 1)
			b.ActivateBackward(f, dGate, dUp, noise(name+".gate", 5*50, 4), noise(name+".up", 5*50, 1), 5, 50)
			check(name+".gate", dGate)
			check(name+".up", dUp)
			b.ActivateBackward(f, dGate, noise(name+".alone.dy", 5*50, 1), noise(name+".alone.gate", 5*50, 4), nil, 5, 50)
			check(name+".alone.gate", dGate)
		}

		dx, y := noise("softcap.dy", 5*50, 1), noise("softcap.x", 5*50, 8)
		b.SoftCap(y, 5, 50, 3)
		b.SoftCapBackward(dx, y, 5, 50, 3)
		check("softcap.x", dx)

		dx = noise("rotate.dy", 7*3*16, 1)
		cos, back := make([]float32, 7*8), make([]float32, 7*8)
		for i, a := range noise("rotate.angles", 7*8, 9) {
			cos[i], back[i] = float32(math.Cos(float64(a))), -float32(math.Sin(float64(a)))
		}
		b.Rotate(dx, Angles{Cos: cos, Sin: back, Pairs: 8}, 7, 3, 16)
		check("rotate.x", dx)

		dx = make([]float32, 11*72)
		b.MatMulBackward(dx, noise("linear.dy", 11*1030, 1), 11, matrix(1030, 72, noise("linear.w", 1030*72, 1)))
		check("linear.x", dx)

		f := attention(torchShape, torchSegments, 2)
		b.AttendFlat(f)
		dQ, dK, dV := like(f.Q), like(f.K), like(f.V)
		b.AttendBackward(f, dQ, dK, dV, noise("attention.dy", len(f.Q), 1), 0)
		check("attention.q", dQ)
		check("attention.k", dK)
		check("attention.v", dV)

		logits := noise("loss.logits", 6*100, 5)
		loss := b.CrossEntropy(logits, fixture.Tokens("loss.targets", 6, 100), 100, 0.25)
		check("loss.logits", logits)
		check("loss.value", []float32{float32(loss)})
	})
}

func like(x []float32) []float32 { return make([]float32, len(x)) }

func attention(s device.AttendShape, segments []Segment, scale float32) *Flat {
	last := segments[len(segments)-1]
	rows := last.First + last.Count
	q, kv := rows*s.Heads*s.HeadDim, rows*s.KVHeads*s.HeadDim
	return &Flat{
		Attention: device.NewAttention(s), Segments: segments,
		Q: noise("attention.q", q, scale), K: noise("attention.k", kv, scale), V: noise("attention.v", kv, scale),
		Out: make([]float32, q), LogSum: make([]float32, rows*s.Heads),
	}
}

// differences returns the gradient of a function of float64 numbers by central
// differences, whose error at this step is below 1e-8 of the function's scale.
func differences(x []float64, f func() float64) []float32 {
	const step = 1e-5
	out := make([]float32, len(x))
	for i, at := range x {
		x[i] = at + step
		above := f()
		x[i] = at - step
		out[i] = float32((above - f()) / (2 * step))
		x[i] = at
	}
	return out
}

func wide(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

func TestBackwardMatchesDifferences(t *testing.T) {
	eachSet(t, func(t *testing.T, b *Backward) {
		check := func(name string, got, want []float32) {
			t.Helper()
			fixture.Close(t, name, got, want, tolerance)
		}
		const n = 37 // not a multiple of a vector
		x, w, dy := noise("x", n, 2), noise("w", n, 1), noise("dy", n, 1)
		x64, w64, dy64 := wide(x), wide(w), wide(dy)

		dx := like(x)
		b.RMSNormBackward(dx, dy, x, w, 1, 1e-5)
		check("norm", dx, differences(x64, func() (sum float64) {
			var squares float64
			for _, v := range x64 {
				squares += v * v
			}
			for i, v := range x64 {
				sum += v / math.Sqrt(squares/n+1e-5) * w64[i] * dy64[i]
			}
			return sum
		}))

		swiglu := func() (sum float64) {
			for i, v := range x64 {
				sum += v / (1 + math.Exp(-v)) * w64[i] * dy64[i]
			}
			return sum
		}
		dGate, dUp := like(x), slices.Clone(dy)
		b.SwiGLUBackward(dGate, dUp, x, w, 1, n)
		check("swiglu gate", dGate, differences(x64, swiglu))
		check("swiglu up", dUp, differences(w64, swiglu))

		const out = 21
		weights, slope := noise("weights", out*n, 1), noise("slope", out, 1)
		dx = like(x)
		b.MatMulBackward(dx, slope, 1, matrix(out, n, weights))
		check("linear", dx, differences(x64, func() (sum float64) {
			for o := range out {
				for i, v := range x64 {
					sum += v * float64(weights[o*n+i]) * float64(slope[o])
				}
			}
			return sum
		}))

		angles := noise("angles", n/2, 3)
		cos, sin, back := like(angles), like(angles), like(angles)
		for i, a := range angles {
			s, c := math.Sincos(float64(a))
			cos[i], sin[i], back[i] = float32(c), float32(s), -float32(s)
		}
		dx = slices.Clone(dy[:n-1])
		b.Rotate(dx, Angles{Cos: cos, Sin: back, Pairs: (n - 1) / 2}, 1, 1, n-1)
		pairs := x64[:n-1]
		check("rotate", dx, differences(pairs, func() (sum float64) {
			for i := range cos {
				c, s := float64(cos[i]), float64(sin[i])
				sum += (pairs[2*i]*c-pairs[2*i+1]*s)*dy64[2*i] + (pairs[2*i]*s+pairs[2*i+1]*c)*dy64[2*i+1]
			}
			return sum
		}))

		logits := slices.Clone(x)
		loss := func() float64 {
			var sum float64
			for _, v := range x64 {
				sum += math.Exp(v)
			}
			return math.Log(sum) - x64[5]
		}
		if got, want := b.CrossEntropy(logits, []int32{5}, n, 1), loss(); math.Abs(got-want) > 1e-5 {
			t.Errorf("loss %v, in float64 %v", got, want)
		}
		check("loss", logits, differences(x64, loss))

		f := attention(device.AttendShape{Heads: 2, KVHeads: 1, HeadDim: 4}, []Segment{{0, 9, nil}, {9, 4, []Run{{0, 5}}}}, 2)
		d := noise("attention.dy", len(f.Q), 1)
		q64, k64, v64 := wide(f.Q), wide(f.K), wide(f.V)
		attended := func() (sum float64) {
			o, _ := dense(f, q64, k64, v64)
			for i, v := range o {
				sum += v * float64(d[i])
			}
			return sum
		}
		b.AttendFlat(f)
		dQ, dK, dV := like(f.Q), like(f.K), like(f.V)
		b.AttendBackward(f, dQ, dK, dV, d, 0)
		check("attention q", dQ, differences(q64, attended))
		check("attention k", dK, differences(k64, attended))
		check("attention v", dV, differences(v64, attended))
	})
}

// dense returns the attention in float64 through a mask, and the probabilities
// [rows, Heads, rows].
func dense(f *Flat, q, k, v []float64) (out, p []float64) {
	s, hd := f.AttendShape, f.HeadDim
	rows := len(q) / (s.Heads * hd)
	out, p = make([]float64, len(q)), make([]float64, rows*s.Heads*rows)
	for i := range f.Segments {
		for t := range f.Segments[i].Count {
			for h := range s.Heads {
				row := f.Segments[i].First + t
				query := q[(row*s.Heads+h)*hd:][:hd]
				weights, sum := p[(row*s.Heads+h)*rows:][:rows], 0.0
				visible(f, i, t, func(key int) {
					dot := 0.0
					for d, x := range query {
						dot += x * k[(key*s.KVHeads+h/f.group())*hd+d]
					}
					weights[key] = math.Exp(dot / math.Sqrt(float64(hd)))
					sum += weights[key]
				})
				visible(f, i, t, func(key int) {
					weights[key] /= sum
					for d := range hd {
						out[(row*s.Heads+h)*hd+d] += weights[key] * v[(key*s.KVHeads+h/f.group())*hd+d]
					}
				})
			}
		}
	}
	return out, p
}

// visible calls see for every key that a token of a segment sees.
func visible(f *Flat, segment, token int, see func(key int)) {
	s := f.Segments[segment]
	for _, r := range append(slices.Clone(s.Sees), Run{s.First, s.First + token + 1}) {
		for key := r.From; key < r.To; key++ {
			see(key)
		}
	}
}

// Many blocks of keys, chunks of rows and rows that are constants, against the
// formulas of the gradients in float64.
func TestAttendBackwardInBlocks(t *testing.T) {
	s := device.AttendShape{Heads: 4, KVHeads: 2, HeadDim: 16}
	segments := []Segment{
		{0, 300, nil},
		{300, 130, []Run{{0, 130}}},
		{430, 15, []Run{{0, 130}, {300, 430}}},
		{445, 1, []Run{{0, 300}, {300, 430}}},
		{446, 290, []Run{{0, 1}}},
	}
	eachSet(t, func(t *testing.T, b *Backward) {
		f := attention(s, segments, 1.5)
		dOut := noise("attention.dy", len(f.Q), 1)
		q, k, v, d := wide(f.Q), wide(f.K), wide(f.V), wide(dOut)
		out, p := dense(f, q, k, v)
		b.AttendFlat(f)
		fixture.Close(t, "out", f.Out, narrow(out), tolerance)
		for _, from := range []int{0, 300} {
			dQ, dK, dV := like(f.Q), like(f.K), like(f.V)
			b.AttendBackward(f, dQ, dK, dV, dOut, from)
			wantQ, wantK, wantV := make([]float64, len(q)), make([]float64, len(k)), make([]float64, len(v))
			hd, rows := s.HeadDim, len(k)/(s.KVHeads*s.HeadDim)
			for i := range segments {
				for token := range segments[i].Count {
					for h := range s.Heads {
						row := segments[i].First + token
						if row < from {
							continue
						}
						at, mean := (row*s.Heads+h)*hd, 0.0
						for x := range hd {
							mean += d[at+x] * out[at+x]
						}
						visible(f, i, token, func(key int) {
							kv := (key*s.KVHeads + h/f.group()) * hd
							weight, slope := p[(row*s.Heads+h)*rows+key], 0.0
							for x := range hd {
								slope += d[at+x] * v[kv+x]
							}
							slope = weight * (slope - mean) / math.Sqrt(float64(hd))
							for x := range hd {
								wantQ[at+x] += slope * k[kv+x]
								if key >= from {
									wantK[kv+x] += slope * q[at+x]
									wantV[kv+x] += weight * d[at+x]
								}
							}
						})
					}
				}
			}
			fixture.Close(t, "q", dQ, narrow(wantQ), tolerance)
			fixture.Close(t, "k", dK, narrow(wantK), tolerance)
			fixture.Close(t, "v", dV, narrow(wantV), tolerance)
		}
	})
}

func narrow(x []float64) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v)
	}
	return out
}

// Products with stored weights and their gradients are those with the f32 expansion,
// whatever the shape of the panels. Rounded to 16 bits, operands are 2^-9 of themselves
// off in bf16, and in i16 2^-13 of the largest beside them: sums of many are off by as
// much of what they are made of, in the norm.
func TestProductsWithStoredWeights(t *testing.T) {
	const rows, out, in = 250, 1100, 96
	w := tensor.Matrix{Type: tensor.Q4_1, Rows: out, Cols: in}
	for i := range out * in / 32 {
		block := make([]byte, 20)
		binary.LittleEndian.PutUint16(block, 0x2c00+uint16(i%500))
		binary.LittleEndian.PutUint16(block[2:], 0xb800+uint16(i%300))
		for j := range 16 {
			block[4+j] = byte(i*31 + j*7)
		}
		w.Data = append(w.Data, block...)
	}
	for _, fast := range []bool{false, true} {
		eachSet(t, func(t *testing.T, b *Backward) {
			tolerance := tolerance
			if fast {
				switch b.UseRounding() {
				case "":
					t.Skip("no product is faster than f32")
				case "bf16":
					tolerance = 3e-3
				case "i16":
					tolerance = 3e-4
				}
			}
			weights := make([]float32, out*in)
			b.kernels.Dequantize(w.Type, weights, w.Data)
			x, dy := noise("x", rows*in, 1), noise("dy", rows*out, 1)
			y, dx := make([]float32, rows*out), make([]float32, rows*in)
			wantY, wantDX := make([]float64, rows*out), make([]float64, rows*in)
			for i := range y { // products are added
				y[i], wantY[i] = 1, 1
			}
			for i := range dx {
				dx[i], wantDX[i] = 2, 2
			}
			for r := range rows {
				for o := range out {
					for c := range in {
						wantY[r*out+o] += float64(x[r*in+c]) * float64(weights[o*in+c])
						wantDX[r*in+c] += float64(dy[r*out+o]) * float64(weights[o*in+c])
					}
				}
			}
			b.MatMulForward(y, x, rows, w)
			b.MatMulBackward(dx, dy, rows, w)
			fixture.Close(t, "y", y, narrow(wantY), tolerance)
			fixture.Close(t, "dx", dx, narrow(wantDX), tolerance)
		})
	}
}
