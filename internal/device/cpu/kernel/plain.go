package kernel

import (
	"math"

	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// plain is the set in plain Go: it runs everywhere and is the oracle of the
// others. Products are rounded before they are added (the conversions forbid the
// compiler to fuse them), so that its bits are the same on every processor.
var plain = &Set{
	Name:       "go",
	Dequantize: quant.Dequantize,
	MatMul:     matMul,
	MatVec:     matVec,
	Quantize:   quantize,
	MatMulInt8: matMulInt8,
	ToHalf:     toHalf,
	FromHalf:   fromHalf,
	Accumulate: accumulate,

	AccumulateHalf: accumulateHalf,

	ScoresInt8:  scoresInt8,
	OutputsInt8: outputsInt8,

	Code16:       code16,
	WeightsInt16: weightsInt16,
	ScoresInt16:  scoresInt16,
	OutputsInt16: outputsInt16,

	Rounding: roundingInt16(code16, 1, tileInt16),

	Softmax: softmax,

	SoftmaxRows: rowsOf(softmax, scale),

	Merge: mergeOf(scale, accumulate),

	Scale:   scale,
	Add:     add,
	RMSNorm: rmsNorm,
	SwiGLU:  swiGLU,
	Rotate:  rotate,
}

// lanes is the number of partial sums of a dot product: element k goes to sum
// k mod lanes.
const lanes = 8

// partial holds the sums of a dot product in progress.
type partial [lanes]float32

// add takes the products of x and w in; all calls for one dot product but the
// last bring a multiple of lanes.
func (p *partial) add(x, w []float32) {
	w = w[:len(x)]
	s0, s1, s2, s3, s4, s5, s6, s7 := p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]
	for len(x) >= lanes && len(w) >= lanes {
		s0 += float32(x[0] * w[0])
		s1 += float32(x[1] * w[1])
		s2 += float32(x[2] * w[2])
		s3 += float32(x[3] * w[3])
		s4 += float32(x[4] * w[4])
		s5 += float32(x[5] * w[5])
		s6 += float32(x[6] * w[6])
		s7 += float32(x[7] * w[7])
		x, w = x[lanes:], w[lanes:]
	}
	*p = partial{s0, s1, s2, s3, s4, s5, s6, s7}
	for i, v := range x {
		p[i] += float32(v * w[i])
	}
}

// sum reduces the partial sums in the order in which vector code folds halves.
func (p *partial) sum() float32 {
	return ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]))
}

func matMul(out []float32, ldo int, x []float32, ldx int, w []float32, ldw int, m, n, k int) {
	for i := range m {
		row := x[i*ldx:][:k]
		for j := range n {
			var p partial
			p.add(row, w[j*ldw:][:k])
			out[i*ldo+j] = p.sum()
		}
	}
}

func matVec(t tensor.Type, out []float32, x []float32, w []byte, n, k int) {
	const chunk = 256 // a multiple of every type's block and of lanes
	var buf [chunk]float32
	rowBytes := t.RowBytes(k)
	for j := range n {
		row := w[j*rowBytes:][:rowBytes]
		var p partial
		for at := 0; at < k; at += chunk {
			part := buf[:min(chunk, k-at)]
			quant.Dequantize(t, part, row[t.RowBytes(at):])
			p.add(x[at:][:len(part)], part)
		}
		out[j] = p.sum()
	}
}

func accumulate(acc []float32, lda int, p []float32, ldp int, v []float32, ldv int, m, n, dim int) {
	for i := range m {
		row := acc[i*lda:][:dim]
		for j, weight := range p[i*ldp:][:n] {
			value := v[j*ldv:][:dim]
			for d := range row {
				row[d] += float32(weight * value[d])
			}
		}
	}
}

func accumulateHalf(acc []float32, lda int, p []float32, ldp int, v []uint16, m, n, dim int, _ []uint16) {
	for i := range m {
		row := acc[i*lda:][:dim]
		for j, weight := range p[i*ldp:][:n] {
			for d, h := range v[j*dim:][:dim] {
				row[d] += float32(weight * tensor.FromHalf(h))
			}
		}
	}
}

func scoresInt8(acc []float32, lda int, q []float32, ldq int, codes []int8, scales []float32, m, dim int, _ []int8) {
	for i := range m {
		row := acc[i*lda:][:blockColumns]
		for first := 0; first < dim; first += blockColumns {
			var sums [blockColumns]float32
			for d := first; d < min(first+blockColumns, dim); d++ {
				x := q[i*ldq+d]
				for t, c := range codes[d*blockColumns:][:blockColumns] {
					sums[t] += float32(x * float32(c))
				}
			}
			for t, scale := range scales[first:][:blockColumns] {
				row[t] += float32(scale * sums[t])
			}
		}
	}
}

func outputsInt8(acc []float32, lda int, p []float32, ldp int, codes []int8, scales []float32, m, n, dim int, _ []int8) {
	for i := range m {
		row := acc[i*lda:][:dim]
		for t, weight := range p[i*ldp:][:n] {
			for d, c := range codes[t*dim:][:dim] {
				scaled := weight * scales[d/blockColumns*blockColumns+t]
				row[d] += float32(scaled * float32(c))
			}
		}
	}
}

func softmax(s []float32, scale, max float32) (newMax, sum float32) {
	newMax = max
	for _, v := range s {
		newMax = maxOf(newMax, scale*v)
	}
	if math.IsInf(float64(newMax), -1) { // nothing seen yet: -Inf - -Inf is no number
		clear(s)
		return newMax, 0
	}
	var total float64
	for j, v := range s {
		s[j] = exp(float32(scale*v) - newMax)
		total += float64(s[j])
	}
	return newMax, float32(total)
}

// rowsOf makes a SoftmaxRows of a Softmax and a Scale.
func rowsOf(softmax func(s []float32, scale, max float32) (newMax, sum float32), scale func(x []float32, a float32)) func(s []float32, lds, m, n int, scaleBy float32, max, sum, acc []float32, dim int) {
	return func(s []float32, lds, m, n int, scaleBy float32, max, sum, acc []float32, dim int) {
		for i := range m {
			top, added := softmax(s[i*lds:][:n], scaleBy, max[i])
			if top != max[i] {
				decay := exp(max[i] - top)
				sum[i] *= decay
				scale(acc[i*dim:][:dim], decay)
				max[i] = top
			}
			sum[i] += added
		}
	}
}

// mergeOf makes a Merge of a Scale and an Accumulate.
func mergeOf(scale func(x []float32, a float32), accumulate func(acc []float32, lda int, p []float32, ldp int, v []float32, ldv int, m, n, dim int)) func(max, sum, acc, max2, sum2, acc2 []float32, dim int, unit float32, weights []float32) {
	return func(max, sum, acc, max2, sum2, acc2 []float32, dim int, unit float32, weights []float32) {
		for i := range max {
			top := maxOf(max[i], max2[i])
			from := maxOf(top, -math.MaxFloat32)
			a, b := exp(unit*(max[i]-from)), exp(unit*(max2[i]-from))
			max[i], sum[i] = top, float32(a*sum[i])+float32(b*sum2[i])
			scale(acc[i*dim:][:dim], a)
			weights[0] = b
			accumulate(acc[i*dim:], dim, weights, 1, acc2[i*dim:], dim, 1, 1, dim)
		}
	}
}

func maxOf(a, b float32) float32 {
	if b > a {
		return b
	}
	return a
}

func exp(x float32) float32 { return float32(math.Exp(float64(x))) }

func scale(x []float32, a float32) {
	for i := range x {
		x[i] *= a
	}
}

func add(x, y []float32) {
	y = y[:len(x)]
	for i := range x {
		x[i] += y[i]
	}
}

func rmsNorm(dst, x, w []float32, eps float32) {
	dst, w = dst[:len(x)], w[:len(x)]
	var squares float64
	for _, v := range x {
		squares += float64(v) * float64(v)
	}
	r := float32(1 / math.Sqrt(squares/float64(len(x))+float64(eps)))
	for i, v := range x {
		dst[i] = float32(v*r) * w[i]
	}
}

func swiGLU(gate, up []float32) {
	up = up[:len(gate)]
	for i, g := range gate {
		gate[i] = g / (1 + exp(-g)) * up[i]
	}
}

func rotate(x, cos, sin []float32) {
	cos, sin = cos[:len(x)/2], sin[:len(x)/2]
	for i, c := range cos {
		a, b, s := x[2*i], x[2*i+1], sin[i]
		x[2*i] = float32(a*c) - float32(b*s)
		x[2*i+1] = float32(a*s) + float32(b*c)
	}
}
