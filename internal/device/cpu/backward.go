package cpu

import (
	"math"
	"slices"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
)

// Backward runs the operations that training has besides those of a forward. Each
// sums in a fixed order, in units of fixed size, so gradients do not depend on the
// threads. It takes turns with its device.
type Backward struct {
	*Device
	workers []backwardScratch
	panels  []float32 // of a weight matrix in MatMulBackward
	parts   []float32 // partial gradients of keys and values

	rounding *kernel.Rounding // of products with weights; nil: they are f32
	products operands
}

// NewBackward returns the operations on the threads of d.
func NewBackward(d *Device) *Backward {
	return &Backward{Device: d, workers: make([]backwardScratch, d.Threads())}
}

// backwardScratch is a worker's own memory, grown when first needed.
type backwardScratch struct {
	row, panel                             []float32
	codes                                  []uint16  // rows of weights, rounded
	edge                                   []float32 // a tile that sticks out
	q, out, dOut, dQ                       []float32 // [tile rows, headDim]
	scores, slopes, scoresBack, slopesBack []float32 // of a tile and some keys, and transposed
	bent                                   []float32
}

// units is a task that is a function.
type units func(worker, unit int)

func (f units) run(worker, unit int) { f(worker, unit) }

// each runs f for every unit.
func (b *Backward) each(n int, f units) { b.pool.run(f, n) }

// tileRows is how many rows of a flat matrix a unit has.
const tileRows = 48

// rows runs f for the rows in tiles.
func (b *Backward) rows(n int, f func(worker, first, count int)) {
	b.each(ceil(n, tileRows), func(worker, unit int) {
		first := unit * tileRows
		f(worker, first, min(tileRows, n-first))
	})
}

// RMSNormBackward adds to dx the gradient of RMSNorm's input x, given that of its
// output, dy; all are [rows, len(w)].
func (b *Backward) RMSNormBackward(dx, dy, x, w []float32, rows int, eps float32) {
	n := len(w)
	k := b.kernels
	b.rows(rows, func(worker, first, count int) {
		scaled := grow(&b.workers[worker].row, n)
		var dot [2]float32
		for r := first; r < first+count; r++ {
			x := x[r*n : (r+1)*n]
			for i, g := range dy[r*n : (r+1)*n] {
				scaled[i] = g * w[i]
			}
			k.MatMul(dot[:1], 1, x, n, x, n, 1, 1, n)
			k.MatMul(dot[1:], 1, scaled, n, x, n, 1, 1, n)
			inverse := 1 / math.Sqrt(float64(dot[0])/float64(n)+float64(eps))
			weights := [2]float32{float32(inverse), float32(-inverse * inverse * inverse * float64(dot[1]) / float64(n))}
			k.Accumulate(dx[r*n:], n, weights[:1], 1, scaled, n, 1, 1, n)
			k.Accumulate(dx[r*n:], n, weights[1:], 1, x, n, 1, 1, n)
		}
	})
}

// LayerNormBackward adds to dx the gradient of LayerNorm's input x, given that of its
// output, dy; all are [rows, len(w)].
func (b *Backward) LayerNormBackward(dx, dy, x, w []float32, rows int, eps float32) {
	n := len(w)
	b.rows(rows, func(_, first, count int) {
		for r := first; r < first+count; r++ {
			x, dx, dy := x[r*n:(r+1)*n], dx[r*n:(r+1)*n], dy[r*n:(r+1)*n]
			mean, inverse := moments(x, eps)
			var sum, along float64 // of the normalised row's gradient, and its share along the row
			for i, v := range x {
				g := float64(dy[i]) * float64(w[i])
				sum += g
				along += g * (float64(v) - mean) * inverse
			}
			sum, along = sum/float64(n), along/float64(n)
			for i, v := range x {
				g := float64(dy[i]) * float64(w[i])
				dx[i] += float32(inverse * (g - sum - along*(float64(v)-mean)*inverse))
			}
		}
	})
}

// ActivateBackward sets dGate to the gradient of gate, and dOut, that of the output, to
// the gradient of up; without up, dGate alone. All are [rows, n].
func (b *Backward) ActivateBackward(f device.Activation, dGate, dOut, gate, up []float32, rows, n int) {
	if f == device.SiLU && up != nil {
		b.SwiGLUBackward(dGate, dOut, gate, up, rows, n)
		return
	}
	b.rows(rows, func(_, first, count int) {
		for i := first * n; i < (first+count)*n; i++ {
			value, slope := activation(f, float64(gate[i]))
			d := float64(dOut[i])
			if up != nil {
				dOut[i] = float32(d * value)
				d *= float64(up[i])
			}
			dGate[i] = float32(d * slope)
		}
	})
}

// activation returns f(x) and its derivative.
func activation(f device.Activation, x float64) (value, slope float64) {
	switch f {
	case device.ReLU:
		if x > 0 {
			return x, 1
		}
		return 0, 0
	case device.GELUTanh: // x·σ(z)
		z := geluScale * (x + geluCube*x*x*x)
		sigmoid := 1 / (1 + math.Exp(-z))
		return x * sigmoid, sigmoid + x*sigmoid*(1-sigmoid)*geluScale*(1+3*geluCube*x*x)
	}
	sigmoid := 1 / (1 + math.Exp(-x))
	return x * sigmoid, sigmoid * (1 + x*(1-sigmoid))
}

// SoftCapBackward turns the gradient of capped numbers y = most · tanh(x/most) into that
// of x; both are [rows, n].
func (b *Backward) SoftCapBackward(dy, y []float32, rows, n int, most float32) {
	b.rows(rows, func(_, first, count int) {
		for i := first * n; i < (first+count)*n; i++ {
			tanh := y[i] / most
			dy[i] *= 1 - tanh*tanh
		}
	})
}

// AddRow adds a vector [n] to every row of x [rows, n].
func (b *Backward) AddRow(x, v []float32, rows, n int) {
	b.EachRow(rows, func(r int) { b.kernels.Add(x[r*n:(r+1)*n], v) })
}

// SwiGLUBackward sets dGate to the gradient of gate, and dOut, that of the output,
// to the gradient of up. All are [rows, n].
func (b *Backward) SwiGLUBackward(dGate, dOut, gate, up []float32, rows, n int) {
	b.rows(rows, func(worker, first, count int) {
		e := grow(&b.workers[worker].row, n)
		for r := first; r < first+count; r++ {
			swiGLUBackward(b.kernels.Softmax, e, dGate[r*n:(r+1)*n], dOut[r*n:(r+1)*n], gate[r*n:(r+1)*n], up[r*n:(r+1)*n])
		}
	})
}

// swiGLUBackward uses that a step of an online softmax whose maximum so far is 0
// makes exponentials of scores below 0. e is for them.
func swiGLUBackward(softmax func(s []float32, scale, max float32) (float32, float32), e, dGate, dOut, gate, up []float32) {
	for i, g := range gate {
		e[i] = -float32(math.Abs(float64(g)))
	}
	softmax(e, 1, 0)
	up, dOut, dGate = up[:len(gate)], dOut[:len(gate)], dGate[:len(gate)]
	for i, g := range gate {
		sigmoid := oneUnlessNegative(g, e[i]) / (1 + e[i])
		d := dOut[i]
		dGate[i] = d * up[i] * sigmoid * (1 + g*(1-sigmoid))
		dOut[i] = d * g * sigmoid
	}
}

// oneUnlessNegative returns 1, or e where the sign of g is set, without a branch,
// which would be taken at random.
func oneUnlessNegative(g, e float32) float32 {
	negative := uint32(int32(math.Float32bits(g)) >> 31)
	return math.Float32frombits(math.Float32bits(1)&^negative | math.Float32bits(e)&negative)
}

// Rotate turns every head of x [rows, heads, headDim] by the angles of its row. With the
// sines negated it turns back, which takes a gradient through the rotation.
func (b *Backward) Rotate(x []float32, a Angles, rows, heads, headDim int) {
	b.rows(rows, func(_, first, count int) {
		for r := first; r < first+count; r++ {
			for h := range heads {
				at := (r*heads + h) * headDim
				b.rotate(&a, x[at:at+headDim], r)
			}
		}
	})
}

// EachRow runs f for every row.
func (b *Backward) EachRow(rows int, f func(row int)) {
	b.rows(rows, func(_, first, count int) {
		for r := first; r < first+count; r++ {
			f(r)
		}
	})
}

// Zero clears x [rows, n]. One thread alone would take a tenth of a step for what a
// step clears and copies.
func (b *Backward) Zero(x []float32, rows, n int) {
	b.rows(rows, func(_, first, count int) { clear(x[first*n : (first+count)*n]) })
}

// Copy copies src to dst, both [rows, n].
func (b *Backward) Copy(dst, src []float32, rows, n int) {
	b.rows(rows, func(_, first, count int) { copy(dst[first*n:(first+count)*n], src[first*n:]) })
}

// Add adds y to x, both [rows, n].
func (b *Backward) Add(x, y []float32, rows, n int) {
	b.rows(rows, func(_, first, count int) {
		b.kernels.Add(x[first*n:(first+count)*n], y[first*n:])
	})
}

// Multiply multiplies x by y, both [rows, n].
func (b *Backward) Multiply(x, y []float32, rows, n int) {
	b.rows(rows, func(_, first, count int) {
		x, y := x[first*n:(first+count)*n], y[first*n:(first+count)*n]
		for i, v := range y {
			x[i] *= v
		}
	})
}

// CrossEntropy returns Σ -log p of the targets, a column for each row of logits
// [len(targets), vocabulary]. It turns the logits into scale times the gradient of
// that sum.
func (b *Backward) CrossEntropy(logits []float32, targets []int32, vocabulary int, scale float32) float64 {
	losses := make([]float64, len(targets))
	b.each(len(targets), func(_, r int) {
		row := logits[r*vocabulary : (r+1)*vocabulary]
		score := row[targets[r]]
		top, sum := b.kernels.Softmax(row, 1, float32(math.Inf(-1)))
		losses[r] = float64(top) - float64(score) + math.Log(float64(sum))
		b.kernels.Scale(row, scale/sum)
		row[targets[r]] -= scale
	})
	total := 0.0
	for _, l := range losses {
		total += l
	}
	return total
}

// Transpose returns x [rows, cols] as [cols, rows], in the memory of dst where that
// is large enough.
func Transpose(dst, x []float32, rows, cols int) []float32 {
	dst = slices.Grow(dst[:0], rows*cols)[:rows*cols]
	for r := range rows {
		for c, v := range x[r*cols : (r+1)*cols] {
			dst[c*rows+r] = v
		}
	}
	return dst
}
