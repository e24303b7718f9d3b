package kernel

import "unsafe"

// Sizes of products of rounded matrices.
const (
	RoundedColumns = 32 // columns of the right matrix that are multiplied at once
	RoundedBlock   = 64 // what terms are a multiple of, and how many share a scale
)

// Rounding is how a set multiplies large matrices in less time than in f32: what is
// multiplied is rounded to numbers of 16 bits. Sums are f32, in an order that is fixed.
type Rounding struct {
	Name string // of the numbers: bf16 or i16
	Rows int    // of the left matrix that are multiplied at once

	// Left rounds x to dst, with a scale for each RoundedBlock numbers, and puts zeros
	// behind it up to the end of dst, a multiple of RoundedBlock.
	Left func(dst []uint16, scales, x []float32)

	// Right rounds x to dst and returns the one scale of all. What is not finite makes
	// sums that are no number.
	Right func(dst []uint16, x []float32) float32

	// tile is MatMul for Rows rows and all columns.
	tile func(acc []float32, ldacc int, a []uint16, scales []float32, b []uint32, by float32, k int)
}

// MatMul adds to acc[i·ldacc+j], for i < m and j < n ≤ RoundedColumns, for each
// RoundedBlock of k terms in turn,
//
//	Σ a[i·k+t] · b[j, t] · (scales[i·k/RoundedBlock + block] · by)
//
// where a and scales have whole tiles of rows, and b is two halves of 16 columns, each
// [k/2, 16, 2]. edge [Rows, RoundedColumns] is memory that it may use.
func (r *Rounding) MatMul(acc []float32, ldacc int, a []uint16, scales []float32, b []uint32, by float32, m, n, k int, edge []float32) {
	blocks := k / RoundedBlock
	for i := 0; i < m; i += r.Rows {
		a, scales := a[i*k:][:r.Rows*k], scales[i*blocks:][:r.Rows*blocks]
		if m-i >= r.Rows && n == RoundedColumns {
			r.tile(acc[i*ldacc:][:(r.Rows-1)*ldacc+n], ldacc, a, scales, b, by, k)
			continue
		}
		edge := edge[:r.Rows*RoundedColumns]
		clear(edge)
		for row := range min(r.Rows, m-i) {
			copy(edge[row*RoundedColumns:][:n], acc[(i+row)*ldacc:])
		}
		r.tile(edge, RoundedColumns, a, scales, b, by, k)
		for row := range min(r.Rows, m-i) {
			copy(acc[(i+row)*ldacc:][:n], edge[row*RoundedColumns:])
		}
	}
}

// Products of integers: a block's sum of codes times codes fits 32 bits.
const (
	mostLeft  = 8191
	mostRight = 4095
)

// roundingInt16 returns the rounding to codes of 16 bits, whose sums in a block are exact:
// all sets give the same bits.
func roundingInt16(code func(codes []int16, ldc int, scales, x []float32, ldx int, m, n int, most int16), rows int,
	tile func(acc []float32, ldacc int, a []uint16, scales []float32, b []uint32, by float32, k int)) *Rounding {
	return &Rounding{
		Name: "i16",
		Rows: rows,
		Left: func(dst []uint16, scales, x []float32) {
			codes, whole := signed(dst), len(x)/RoundedBlock
			code(codes, RoundedBlock, scales[:whole], x, RoundedBlock, whole, RoundedBlock, mostLeft)
			if at := whole * RoundedBlock; at < len(dst) {
				clear(dst[at:])
				clear(scales[whole:])
				if at < len(x) {
					code(codes[at:], RoundedBlock, scales[whole:], x[at:], RoundedBlock, 1, len(x)-at, mostLeft)
				}
			}
		},
		Right: func(dst []uint16, x []float32) float32 {
			var scale [1]float32
			code(signed(dst), len(dst), scale[:], x, len(x), 1, len(x), mostRight)
			return scale[0]
		},
		tile: tile,
	}
}

// signed returns the same numbers as codes.
func signed(x []uint16) []int16 {
	return unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(x))), len(x))
}

// tileInt16 is the tile of one row.
func tileInt16(acc []float32, _ int, a []uint16, scales []float32, b []uint32, by float32, k int) {
	half := groupColumns * k / 2
	for block, scale := range scales[:k/RoundedBlock] {
		scale *= by
		for j := range RoundedColumns {
			at, sum := j/groupColumns*half+j%groupColumns, int32(0)
			for t := block * RoundedBlock; t < (block+1)*RoundedBlock; t += 2 {
				pair := b[at+t/2*groupColumns]
				sum += int32(int16(a[t]))*int32(int16(pair)) + int32(int16(a[t+1]))*int32(int16(pair>>16))
			}
			acc[j] += float32(float32(sum) * scale)
		}
	}
}
