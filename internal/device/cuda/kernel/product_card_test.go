//go:build cuda

package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// weights are a matrix of a storage type, as numbers and on the card.
type weights struct {
	rows, cols int
	values     []float32 // what is stored, exactly
	packed     driver.Ptr
	scale      driver.Ptr // F8
	scales     []float32
	format     Format
}

var storedTypes = map[Stored]tensor.Type{
	StoredF32: tensor.F32, StoredF16: tensor.F16, StoredBF16: tensor.BF16, StoredQ8_0: tensor.Q8_0,
	StoredQ4_0: tensor.Q4_0, StoredQ4_1: tensor.Q4_1, StoredQ4K: tensor.Q4_K, StoredQ6K: tensor.Q6_K,
}

// storedBytes are random weights in a storage type.
func storedBytes(rng *rand.Rand, stored Stored, n int) []byte {
	x := gaussian(rng, n, 0.05)
	switch stored {
	case StoredF32:
		return bytesOf(x)
	case StoredF16, StoredBF16:
		h := make([]uint16, n)
		for i := range x {
			if h[i] = tensor.ToHalf(x[i]); stored == StoredBF16 {
				h[i] = uint16(math.Float32bits(x[i]) >> 16)
			}
		}
		return bytesOf(h)
	case StoredQ8_0, StoredQ4_0:
		data, err := quant.Quantize(storedTypes[stored], x)
		if err != nil {
			panic(err)
		}
		return data
	}
	// Any bytes are codes; scales must be numbers of a sensible size.
	size, weights, halves := 144, 256, []int{0, 2}
	switch stored {
	case StoredQ4_1:
		size, weights = 20, 32
	case StoredQ6K:
		size, halves = 210, []int{208}
	}
	data := make([]byte, n/weights*size)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	for b := 0; b < len(data); b += size {
		for _, at := range halves {
			h := tensor.ToHalf(float32(0.0005 + rng.Float64()*0.0005))
			data[b+at], data[b+at+1] = byte(h), byte(h>>8)
		}
	}
	return data
}

func (c *card) weights(rng *rand.Rand, stored Stored, format Format, rows, cols int) *weights {
	c.t.Helper()
	data := storedBytes(rng, stored, rows*cols)
	w := &weights{rows: rows, cols: cols, format: format, values: make([]float32, rows*cols)}
	quant.Dequantize(storedTypes[stored], w.values, data)
	w.packed = c.alloc(format.Bytes(rows, cols), 0xff)
	if format == F8 {
		w.scale = c.alloc(int64(ceil(rows, 8))*8*4, 0xff)
	}
	// In two pieces, as a loader does that copies a large matrix bit by bit.
	first := rows / 2 / 8 * 8
	bytes := len(data) / rows
	for _, piece := range [][2]int{{0, first}, {first, rows}} {
		if piece[0] == piece[1] {
			continue
		}
		from := put(c, data[piece[0]*bytes:piece[1]*bytes])
		c.check(c.set.Pack(c.stream, &Pack{From: from, To: w.packed, Scale: w.scale, First: int32(piece[0]), Rows: int32(piece[1] - piece[0]), Cols: int32(cols), Stored: stored, Format: format}))
	}
	if format == F8 {
		w.scales = get[float32](c, w.scale, rows)
	}
	return w
}

// seen are the weights as products see them: f16 or bf16, F8 without its scales.
func (c *card) seen(w *weights) []float32 {
	c.t.Helper()
	from := w.packed
	if w.format > BF16 {
		to := c.alloc(F16.Bytes(w.rows, w.cols), 0xff)
		c.check(c.set.Expand(c.stream, &Expand{From: from, To: to, Rows: int32(w.rows), Cols: int32(w.cols), Format: w.format}, false))
		from = to
	}
	tiles := get[uint16](c, from, int(F16.Bytes(w.rows, w.cols)/2))
	values, units := make([]float32, w.rows*w.cols), ceil(w.cols, 64)
	for n := range w.rows {
		for k := range w.cols {
			h := tiles[(n/8*units+k/64)*512+n%8*64+(k/8%8^n%8)*8+k%8]
			if values[n*w.cols+k] = fromHalf(h); w.format == BF16 {
				values[n*w.cols+k] = math.Float32frombits(uint32(h) << 16)
			}
		}
	}
	return values
}

// TestPacked compares packed weights with what is stored.
func TestPacked(t *testing.T) {
	c := newCard(t)
	rng := rand.New(rand.NewPCG(1, 1))
	for stored := range storedTypes {
		for _, format := range []Format{stored.Fits(), F16, F8} {
			w := c.weights(rng, stored, format, 52, 512)
			got := c.seen(w)
			worst, most := 0.0, 0.0
			for i := range got {
				v := float64(got[i])
				if format == F8 {
					v *= float64(w.scales[i/w.cols])
				}
				worst, most = max(worst, math.Abs(v-float64(w.values[i]))), max(most, math.Abs(float64(w.values[i])))
			}
			// f16 and bf16 keep 11 and 8 bits, Q4 rounds a scale and a minimum besides; e4m3 keeps 4.
			bound := map[Format]float64{F16: 0x1p-11, BF16: 0x1p-8, Q8: 0x1p-11, Q6: 0x1p-10, Q4: 0x1p-9, F8: 0x1p-4}[format] * most
			if !(worst <= bound) {
				t.Errorf("stored type %d as %s: %.2g off, want at most %.2g", stored, formatNames[format], worst, bound)
			}
		}
	}
}

// product runs one and returns its outputs, all rows.
func (c *card) product(p Product, outs []driver.Ptr, strides []int, ws []*weights, wide bool) [][]float32 {
	c.t.Helper()
	p.Count = int32(len(ws))
	scratch := []int{}
	for i, w := range ws {
		p.Format, p.Cols = w.format, int32(w.cols)
		p.Segments[i].W, p.Segments[i].Scale, p.Segments[i].Rows = w.packed, w.scale, int32(w.rows)
		if i < len(outs) {
			p.Segments[i].Out, p.Segments[i].Stride = outs[i], int32(strides[i])
		}
		scratch = append(scratch, w.rows)
	}
	if n := ScratchBytes(p.Format, int(p.Cols), scratch...); n > 0 {
		p.Scratch = c.alloc(n, 0xff)
	}
	c.check(c.set.Product(c.stream, &p, false))
	var got [][]float32
	for i := range outs {
		n := int(p.Rows) * strides[i]
		if wide {
			got = append(got, get[float32](c, outs[i], n))
			continue
		}
		h := get[uint16](c, outs[i], n)
		f := make([]float32, n)
		for j := range h {
			if f[j] = fromHalf(h[j]); p.Format == BF16 {
				f[j] = math.Float32frombits(uint32(h[j]) << 16)
			}
		}
		got = append(got, f)
	}
	return got
}

// inputs are rows of 16 bits for a format, and what they are.
func (c *card) inputs(rng *rand.Rand, format Format, rows, cols int) (driver.Ptr, []float32) {
	x := gaussian(rng, rows*cols, 1)
	h := halves(x, rows, cols)
	for r := range rows {
		for k := range cols {
			at := r*Pad(cols) + k
			if format == BF16 {
				h[at] = uint16(math.Float32bits(x[r*cols+k]) >> 16)
				x[r*cols+k] = math.Float32frombits(uint32(h[at]) << 16)
			} else {
				x[r*cols+k] = fromHalf(h[at])
			}
		}
	}
	return put(c, h), x
}

// TestProducts compares sums with those in float64, and a row's bits with those of the row
// alone, for all formats, numbers of rows and kernels.
func TestProducts(t *testing.T) {
	c := newCard(t)
	rng := rand.New(rand.NewPCG(2, 2))
	const most = 300
	for _, shape := range [][2]int{{576, 1536}, {1536, 576}, {52, 100}, {8, 64}, {1000, 11008}, {6400, 2304}} {
		for _, stored := range []Stored{StoredF16, StoredBF16, StoredQ8_0, StoredQ4_0, StoredQ4_1, StoredQ4K, StoredQ6K, StoredF32} {
			if leftOut(shape, [2]int{576, 1536}, [2]int{52, 100}) {
				continue
			}
			format := stored.Fits()
			if stored == StoredF32 {
				format = F8
			}
			if shape[1]%256 != 0 && stored != StoredF16 && stored != StoredBF16 && stored != StoredF32 {
				if shape[1]%64 != 0 || stored >= StoredQ4K {
					continue
				}
			}
			w := c.weights(rng, stored, format, shape[0], shape[1])
			seen := c.seen(w)
			x, values := c.inputs(rng, format, most, w.cols)
			bias := gaussian(rng, w.rows, 1)
			biasAt := put(c, bias)
			var alone []float32
			for _, rows := range []int{1, 2, 7, 8, 9, 16, 17, 31, 32, 33, 64, 146, 256, 300} {
				name := fmt.Sprintf("%s %dx%d, %d rows", formatNames[format], w.rows, w.cols, rows)
				if leftOut(rows, 1, 9, 17, 32, 33, 146, 300) {
					continue
				}
				out := c.alloc(int64(rows*w.rows*4), 0xff)
				p := Product{X: x, XStride: int32(Pad(w.cols)), Rows: int32(rows)}
				p.Segments[0].Bias = biasAt
				got := c.product(p, []driver.Ptr{out}, []int{w.rows}, []*weights{w}, true)[0]
				var some, want []float32
				var exact []float64
				for _, m := range []int{0, rows / 2, rows - 1} {
					for _, n := range []int{0, 1, 7, w.rows / 2, w.rows - 1} {
						s := 0.0
						for k := range w.cols {
							s += float64(seen[n*w.cols+k]) * float64(values[m*w.cols+k])
						}
						if format == F8 {
							s *= float64(w.scales[n])
						}
						exact, some = append(exact, s+float64(bias[n])), append(some, got[m*w.rows+n])
					}
				}
				near(t, name, some, exact, 2e-5)
				// The row in the middle, alone.
				m := rows / 2
				if rows == 1 {
					alone = nil
				}
				p.X, p.Rows = x+driver.Ptr(m*Pad(w.cols)*2), 1
				alone = c.product(p, []driver.Ptr{out}, []int{w.rows}, []*weights{w}, true)[0]
				want = got[m*w.rows : (m+1)*w.rows]
				same(t, name+": the middle row alone", alone, want)
			}
		}
	}
}

// TestEpilogues compares what products end with: several matrices, sums, gates, and the norm
// in front of them.
func TestEpilogues(t *testing.T) {
	c := newCard(t)
	rng := rand.New(rand.NewPCG(3, 3))
	const cols, inner = 576, 200
	for _, stored := range []Stored{StoredF16, StoredBF16, StoredQ8_0, StoredF32} {
		format := stored.Fits()
		if stored == StoredF32 {
			format = F8
		}
		a, b, d := c.weights(rng, stored, format, inner, cols), c.weights(rng, stored, format, inner, cols), c.weights(rng, stored, format, 72, cols)
		for _, rows := range []int{1, 4, 16, 32, 70, 200} {
			name := fmt.Sprintf("%s, %d rows", formatNames[format], rows)
			x, _ := c.inputs(rng, format, rows, cols)
			p := Product{X: x, XStride: int32(Pad(cols)), Rows: int32(rows)}
			outs := func(n int) []driver.Ptr {
				var o []driver.Ptr
				for range n {
					o = append(o, c.alloc(int64(rows*Pad(inner)*4), 0xff))
				}
				return o
			}
			apartly := c.product(p, outs(1), []int{inner}, []*weights{a}, true)
			apartly = append(apartly, c.product(p, outs(1), []int{inner}, []*weights{b}, true)[0], c.product(p, outs(1), []int{72}, []*weights{d}, true)[0])
			together := c.product(p, outs(3), []int{inner, inner, 72}, []*weights{a, b, d}, true)
			for i := range together {
				same(t, fmt.Sprintf("%s: matrix %d of three", name, i), together[i], apartly[i])
			}
			old := gaussian(rng, rows*inner, 1)
			p.Epilogue = Add
			added := c.product(p, []driver.Ptr{put(c, old)}, []int{inner}, []*weights{a}, true)[0]
			for i := range old {
				old[i] += apartly[0][i]
			}
			same(t, name+": sums", added, old)
			for f := SiLU; f <= ReLU; f++ {
				half := int32(1)
				if format == BF16 {
					half = 2
				}
				p.Epilogue, p.Activation = Gated, f
				gated := c.product(p, outs(1), []int{Pad(inner)}, []*weights{a, b}, false)[0]
				to := c.alloc(int64(rows*Pad(inner)*2), 0xff)
				e := &Elementwise{X: put(c, apartly[0]), Y: put(c, apartly[1]), To: to, Rows: int32(rows), Width: inner, XStride: inner, YStride: inner, ToWidth: int32(Pad(inner)), Half: half, Op: OpActivate + Op(f)}
				c.check(c.set.Elementwise(c.stream, e, false))
				want := get[uint16](c, to, rows*Pad(inner))
				p.Epilogue = Activated
				activated := c.product(p, outs(1), []int{Pad(inner)}, []*weights{a}, false)[0]
				e.Y = 0
				c.check(c.set.Elementwise(c.stream, e, false))
				plain := get[uint16](c, to, rows*Pad(inner))
				for i := range want {
					if i%Pad(inner) >= inner {
						continue
					}
					g, o := fromHalf(want[i]), fromHalf(plain[i])
					if format == BF16 {
						g, o = math.Float32frombits(uint32(want[i])<<16), math.Float32frombits(uint32(plain[i])<<16)
					}
					if gated[i] != g || activated[i] != o {
						t.Fatalf("%s, activation %d: number %d is %v and %v, apart %v and %v", name, f, i, gated[i], activated[i], g, o)
					}
				}
			}
		}
		// The norm in front, for widths that a warp and that a block normalises, for more than its
		// threads keep, and for rows that are not whole 16 bytes.
		widths := []int{128, cols, 4608}
		if stored == StoredF16 {
			widths = append(widths, 390)
		}
		for _, width := range widths {
			w := c.weights(rng, stored, format, inner, width)
			for _, rows := range []int{1, 3, FewRows} {
				raw, scale := gaussian(rng, rows*width, 3), gaussian(rng, width, 1)
				rawAt, scaleAt := put(c, raw), put(c, scale)
				out, normed := c.alloc(int64(rows*inner*4), 0xff), c.alloc(int64(rows*Pad(width)*2), 0)
				half := int32(1)
				if format == BF16 {
					half = 2
				}
				c.check(c.set.Norm(c.stream, &Norm{X: rawAt, To: normed, Scale: scaleAt, Rows: int32(rows), Width: int32(width), XStride: int32(width), ToStride: int32(Pad(width)), Eps: 1e-5, Half: half}, false))
				p := Product{X: normed, XStride: int32(Pad(width)), Rows: int32(rows), Eps: 1e-5}
				want := c.product(p, []driver.Ptr{out}, []int{inner}, []*weights{w}, true)[0]
				p.X, p.XStride, p.Norm = rawAt, int32(width), scaleAt
				got := c.product(p, []driver.Ptr{out}, []int{inner}, []*weights{w}, true)[0]
				same(t, fmt.Sprintf("%s: norm of %d rows of %d in front", formatNames[format], rows, width), got, want)
			}
		}
	}
}
