package cpu

import (
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// Products with frozen weights whose operands are rounded to 16 bits, as kernel.Rounding
// says: the weights are its right matrix, what they are multiplied with is the left.
// Weights are packed anew each time, as two copies of them, one for each direction,
// would take four times the memory of four bits.
const (
	roundedHalf  = kernel.RoundedColumns / 2
	roundedDeep  = 1024 // weight rows that are packed at once
	roundedPass  = 96   // rows of the left matrix in a unit: whole tiles of all sets
	roundedWidth = 256  // columns of a unit
)

// operands is the memory of such a product.
type operands struct {
	left   []uint16  // [rows, k]
	scales []float32 // [rows, k/RoundedBlock]
	packed []uint32  // halves of RoundedColumns, each [k/2, roundedHalf] pairs of terms
	right  []float32 // scales of RoundedBlock weight rows each
}

// UseRounding makes MatMulForward and MatMulBackward round their operands from now on,
// and returns the name of the numbers that they become; "": nothing here is faster than
// f32, and nothing is rounded.
func (b *Backward) UseRounding() string {
	if b.rounding = b.kernels.Rounding; b.rounding == nil {
		return ""
	}
	return b.rounding.Name
}

// forwardRounded is MatMulForward: a weight row is a column.
func (b *Backward) forwardRounded(out, x []float32, rows int, w tensor.Matrix) {
	p := &b.products
	k := upTo(w.Cols, kernel.RoundedBlock)
	b.roundLeft(x, w.Cols, rows, w.Cols, k, nil)
	for from := 0; from < w.Rows; from += roundedDeep {
		n := min(roundedDeep, w.Rows-from)
		blocks := ceil(n, kernel.RoundedBlock)
		packed := grow(&p.packed, blocks*kernel.RoundedBlock*k/2)
		scales := grow(&p.right, blocks)
		b.each(blocks, func(worker, unit int) {
			first := unit * kernel.RoundedBlock
			var codes []uint16
			codes, scales[unit] = b.roundRight(worker, w, from+first)
			for c := first; c < first+kernel.RoundedBlock; c += roundedHalf {
				pairAlong(packed[c*k/2:][:roundedHalf*k/2], codes[(c-first)*w.Cols:][:roundedHalf*w.Cols], w.Cols)
			}
		})
		b.multiply(out[from:], w.Rows, rows, n, k, scales)
	}
}

// backwardRounded is MatMulBackward: a weight row is a term.
func (b *Backward) backwardRounded(dx, dy []float32, rows int, w tensor.Matrix) {
	p := &b.products
	cols := upTo(w.Cols, kernel.RoundedColumns)
	for from := 0; from < w.Rows; from += roundedDeep {
		deep := min(roundedDeep, w.Rows-from)
		blocks := ceil(deep, kernel.RoundedBlock)
		k := blocks * kernel.RoundedBlock
		packed := grow(&p.packed, cols*k/2)
		scales := grow(&p.right, blocks)
		b.each(blocks, func(worker, unit int) {
			var codes []uint16
			codes, scales[unit] = b.roundRight(worker, w, from+unit*kernel.RoundedBlock)
			for i := range kernel.RoundedBlock / 2 {
				even, odd := codes[2*i*w.Cols:][:w.Cols], codes[(2*i+1)*w.Cols:][:w.Cols]
				to := packed[(unit*kernel.RoundedBlock/2+i)*roundedHalf:]
				pairAcross(to, roundedHalf*k/2, even, odd)
			}
		})
		b.roundLeft(dy[from:], w.Rows, rows, deep, k, scales)
		b.multiply(dx, w.Cols, rows, w.Cols, k, nil)
	}
}

// upTo rounds n up to a multiple of m.
func upTo(n, m int) int { return ceil(n, m) * m }

// pairOf is how neighbouring terms stand in the right matrix.
func pairOf(even, odd uint16) uint32 { return uint32(even) | uint32(odd)<<16 }

// pairAlong packs columns [roundedHalf, cols], zeros behind their ends.
func pairAlong(half []uint32, columns []uint16, cols int) {
	for c := range roundedHalf {
		column, at := columns[c*cols:][:cols], c
		for ; len(column) > 1; column = column[2:] {
			half[at] = pairOf(column[0], column[1])
			at += roundedHalf
		}
		if len(column) > 0 {
			half[at] = pairOf(column[0], 0)
			at += roundedHalf
		}
		for ; at < len(half); at += roundedHalf {
			half[at] = 0
		}
	}
}

// pairAcross packs two terms of all columns; halves stand apart as much.
func pairAcross(to []uint32, apart int, even, odd []uint16) {
	for {
		n := min(roundedHalf, len(even))
		pairs, odds := to[:roundedHalf], odd[:n]
		for j, v := range even[:n] {
			pairs[j] = pairOf(v, odds[j])
		}
		clear(pairs[n:])
		if even, odd = even[n:], odd[n:]; len(even) == 0 {
			return
		}
		to = to[apart:]
	}
}

// roundRight rounds RoundedBlock rows of weights to [RoundedBlock, w.Cols] and returns
// their scale; rows behind the last are 0.
func (b *Backward) roundRight(worker int, w tensor.Matrix, first int) ([]uint16, float32) {
	s := &b.workers[worker]
	n := kernel.RoundedBlock * w.Cols
	stored := w.Data[first*w.RowBytes() : min(w.Rows, first+kernel.RoundedBlock)*w.RowBytes()]
	row, codes := grow(&s.row, n), grow(&s.codes, n)
	whole := len(stored) / w.RowBytes() * w.Cols
	b.kernels.Dequantize(w.Type, row[:whole], stored)
	clear(row[whole:])
	return codes, b.rounding.Right(codes, row)
}

// roundLeft rounds x [rows, cols], ldx from row to row, to whole tiles of rows of k
// numbers; what is behind x is 0. The scales are multiplied by those of the blocks.
func (b *Backward) roundLeft(x []float32, ldx, rows, cols, k int, by []float32) {
	p, blocks, whole := &b.products, k/kernel.RoundedBlock, upTo(rows, b.rounding.Rows)
	left, scales := grow(&p.left, whole*k), grow(&p.scales, whole*blocks)
	clear(left[rows*k:])
	clear(scales[rows*blocks:])
	b.rows(rows, func(_, first, count int) {
		for r := first; r < first+count; r++ {
			scales := scales[r*blocks:][:blocks]
			b.rounding.Left(left[r*k:][:k], scales, x[r*ldx:][:cols])
			for i, scale := range by {
				scales[i] *= scale
			}
		}
	})
}

// multiply adds to out [rows, n], ldo from row to row, the left matrix times the packed
// one, of k terms, and times by, a number for each RoundedBlock columns; nil: 1.
func (b *Backward) multiply(out []float32, ldo, rows, n, k int, by []float32) {
	p, blocks, passes := &b.products, k/kernel.RoundedBlock, ceil(rows, roundedPass)
	b.each(passes*ceil(n, roundedWidth), func(worker, unit int) {
		edge := grow(&b.workers[worker].edge, b.rounding.Rows*kernel.RoundedColumns)
		r, first := unit%passes*roundedPass, unit/passes*roundedWidth
		for c := first; c < min(n, first+roundedWidth); c += kernel.RoundedColumns {
			scale := float32(1)
			if by != nil {
				scale = by[c/kernel.RoundedBlock]
			}
			b.rounding.MatMul(out[r*ldo+c:], ldo, p.left[r*k:], p.scales[r*blocks:], p.packed[c*k/2:], scale,
				min(roundedPass, rows-r), min(kernel.RoundedColumns, n-c), k, edge)
		}
	})
}
