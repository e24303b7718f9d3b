package kernel

import "math"

// blockColumns is how many columns of activations and of weights share a scale.
const blockColumns = 32

// Quantized holds rows of activations in 8 bits. In a block of 32 columns
// x ≈ Scale·q with |q| ≤ 127.
type Quantized struct {
	Q      []int8  // [Rows, Cols]
	Blocks []Block // [Rows, Cols/32]
	Rows   int
	Cols   int
}

// Block is what 32 activations have in common. Assembly knows its layout.
type Block struct {
	Scale float32
	Total float32  // Scale·Σ q
	Sums  [2]int16 // Σ q of the first 16 and of the last
}

// sum returns Σ q of a part of so many equal ones, one or two.
func (b *Block) sum(part, parts int) int32 {
	if parts == 2 {
		return int32(b.Sums[part])
	}
	return int32(b.Sums[0]) + int32(b.Sums[1])
}

// Resize makes room for rows of cols activations; cols is a multiple of 32. What
// the rows held before is lost.
func (q *Quantized) Resize(rows, cols int) {
	q.Q = grow(q.Q, rows*cols)
	q.Blocks = grow(q.Blocks, rows*(cols/blockColumns))
	q.Rows, q.Cols = rows, cols
}

// Part returns cols columns of a row, from first on, which shares its memory. Both
// are multiples of 32.
func (q *Quantized) Part(row, first, cols int) Quantized {
	at, blocks := row*q.Cols+first, cols/blockColumns
	return Quantized{Q: q.Q[at:][:cols], Blocks: q.Blocks[at/blockColumns:][:blocks], Rows: 1, Cols: cols}
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// rows returns n rows from first on.
func (q *Quantized) rows(first, n int) (codes []int8, blocks []Block) {
	perRow := q.Cols / blockColumns
	return q.Q[first*q.Cols:][:n*q.Cols], q.Blocks[first*perRow:][:n*perRow]
}

const (
	leastNormal = 0x1p-126
	infinite    = 0x7f800000 // bits of +Inf; those of NaN are above
)

func quantize(q *Quantized, row int, x []float32) {
	codes, blocks := q.rows(row, 1)
	x = x[:len(codes)]
	for b := range blocks {
		at := b * blockColumns
		blocks[b] = quantizeBlock(codes[at:][:blockColumns], x[at:][:blockColumns])
	}
}

// highestMagnitude returns the bits of max|x|; magnitudes compare like their bits, and
// what is not a number is above all.
func highestMagnitude(x []float32) uint32 {
	var most uint32
	for _, v := range x {
		most = max(most, math.Float32bits(v)&^(1<<31))
	}
	return most
}

func quantizeBlock(codes []int8, x []float32) Block {
	most := highestMagnitude(x)
	scale := math.Float32frombits(most) / 127
	switch {
	case most >= infinite:
		clear(codes)
		nan := float32(math.NaN())
		return Block{Scale: nan, Total: nan}
	case scale < leastNormal:
		clear(codes)
		return Block{}
	}
	var sums [2]int16
	inverse := 1 / scale
	for i, v := range x {
		c := int32(math.RoundToEven(float64(v * inverse)))
		codes[i] = int8(c)
		sums[i/(blockColumns/2)] += int16(c)
	}
	return Block{Scale: scale, Total: scale * (float32(sums[0]) + float32(sums[1])), Sums: sums}
}
