package cpu

import (
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// Products with frozen weights in bf16: weights and the other matrix are rounded, sums
// are f32. Weights are packed anew each time, as two copies of them, one for each
// direction, would take four times the memory of four bits.
const (
	sideBF16 = kernel.SideBF16
	halfBF16 = sideBF16 / 2  // columns of the halves in which the right operand stands
	deepBF16 = 32 * sideBF16 // weight rows that are packed at once
	passBF16 = 3 * sideBF16  // rows of the left operand in a unit
)

// UseBF16 makes MatMulForward and MatMulBackward round their operands to bf16 from now
// on, and reports whether they will: not all processors multiply such numbers.
func (b *Backward) UseBF16() bool {
	b.bf16 = b.kernels.MatMulBF16 != nil
	return b.bf16
}

// forwardBF16 is MatMulForward.
func (b *Backward) forwardBF16(out, x []float32, rows int, w tensor.Matrix) {
	k := upBF16(w.Cols)
	b.roundBF16(x, w.Cols, rows, w.Cols, k)
	for from := 0; from < w.Rows; from += deepBF16 {
		n := min(deepBF16, w.Rows-from)
		halves := upBF16(n) / halfBF16
		packed := grow(&b.packed, halves*halfBF16*k/2)
		b.each(halves, func(worker, unit int) {
			half := packed[unit*halfBF16*k/2:][:halfBF16*k/2]
			for c := range halfBF16 {
				row := b.weightsBF16(&b.workers[worker].even, worker, w, from+unit*halfBF16+c, k)
				for i := range k / 2 {
					half[i*halfBF16+c] = pairBF16(row[2*i], row[2*i+1])
				}
			}
		})
		b.tilesBF16(out[from:], w.Rows, rows, n, k)
	}
}

// backwardBF16 is MatMulBackward.
func (b *Backward) backwardBF16(dx, dy []float32, rows int, w tensor.Matrix) {
	for from := 0; from < w.Rows; from += deepBF16 {
		deep := min(deepBF16, w.Rows-from)
		k := upBF16(deep)
		b.roundBF16(dy[from:], w.Rows, rows, deep, k)
		cols := upBF16(w.Cols)
		packed := grow(&b.packed, cols*k/2)
		b.each(k/sideBF16, func(worker, unit int) {
			s := &b.workers[worker]
			for i := unit * sideBF16 / 2; i < (unit+1)*sideBF16/2; i++ {
				even := b.weightsBF16(&s.even, worker, w, from+2*i, cols)
				odd := b.weightsBF16(&s.odd, worker, w, from+2*i+1, cols)
				for c := 0; c < cols; c += halfBF16 {
					to, even, odd := packed[c*k/2+i*halfBF16:][:halfBF16], even[c:][:halfBF16], odd[c:][:halfBF16]
					for j := range to {
						to[j] = pairBF16(even[j], odd[j])
					}
				}
			}
		})
		b.tilesBF16(dx, w.Cols, rows, w.Cols, k)
	}
}

// upBF16 rounds up to whole tiles.
func upBF16(n int) int { return ceil(n, sideBF16) * sideBF16 }

// pairBF16 is how neighbouring terms stand in the right operand.
func pairBF16(even, odd uint16) uint32 { return uint32(even) | uint32(odd)<<16 }

// weightsBF16 expands a row of weights to width numbers, zeros behind them and in the
// rows behind the last.
func (b *Backward) weightsBF16(buf *[]uint16, worker int, w tensor.Matrix, r, width int) []uint16 {
	to := grow(buf, width)
	if r >= w.Rows {
		clear(to)
		return to
	}
	row := grow(&b.workers[worker].row, w.Cols)
	b.kernels.Dequantize(w.Type, row, w.Row(r))
	b.kernels.ToBF16(to, row)
	clear(to[w.Cols:])
	return to
}

// roundBF16 rounds x [rows, cols], ldx from row to row, to the left operand, whole
// tiles of rows of k numbers; what is behind x is 0.
func (b *Backward) roundBF16(x []float32, ldx, rows, cols, k int) {
	whole := upBF16(rows)
	left := grow(&b.left, whole*k)
	clear(left[rows*k:])
	b.rows(rows, func(_, first, count int) {
		for r := first; r < first+count; r++ {
			to := left[r*k:][:k]
			b.kernels.ToBF16(to, x[r*ldx:][:cols])
			clear(to[cols:])
		}
	})
}

// tilesBF16 adds to out [rows, n], ldo from row to row, the left operand times the
// packed one, of k terms.
func (b *Backward) tilesBF16(out []float32, ldo, rows, n, k int) {
	b.each(ceil(rows, passBF16), func(worker, unit int) {
		edge := grow(&b.workers[worker].edge, sideBF16*sideBF16)
		end := min(rows, (unit+1)*passBF16)
		for c := 0; c < n; c += sideBF16 {
			right := b.packed[c*k/2:][:sideBF16*k/2]
			for r := unit * passBF16; r < end; r += sideBF16 {
				left := b.left[r*k:]
				height, width := min(sideBF16, rows-r), min(sideBF16, n-c)
				if height == sideBF16 && width == sideBF16 {
					b.kernels.MatMulBF16(out[r*ldo+c:], ldo, left, k, right, k)
					continue
				}
				clear(edge)
				b.kernels.MatMulBF16(edge, sideBF16, left, k, right, k)
				for i := range height {
					b.kernels.Add(out[(r+i)*ldo+c:][:width], edge[i*sideBF16:][:width])
				}
			}
		}
	})
}
