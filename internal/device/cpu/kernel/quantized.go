package kernel

import "math"

// blockColumns is how many columns of activations and of weights share a scale.
const blockColumns = 32

// Quantized holds rows of activations in 8 bits. In a block of 32 columns
// x ≈ Scale·q with |q| ≤ 127.
type Quantized struct {
	Q     []int8    // [Rows, Cols]
	Scale []float32 // [Rows, Cols/32]
	Sum   []int32   // [Rows, Cols/32]: Σ q of a block
	Total []float32 // [Rows, Cols/32]: Scale·Sum
	Rows  int
	Cols  int
}

// Resize makes room for rows of cols activations; cols is a multiple of 32. What
// the rows held before is lost.
func (q *Quantized) Resize(rows, cols int) {
	blocks := rows * (cols / blockColumns)
	q.Q = grow(q.Q, rows*cols)
	q.Scale = grow(q.Scale, blocks)
	q.Sum = grow(q.Sum, blocks)
	q.Total = grow(q.Total, blocks)
	q.Rows, q.Cols = rows, cols
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// row returns the parts of one row.
func (q *Quantized) row(i int) (codes []int8, scale []float32, sum []int32, total []float32) {
	blocks := q.Cols / blockColumns
	from, to := i*blocks, (i+1)*blocks
	return q.Q[i*q.Cols:][:q.Cols], q.Scale[from:to], q.Sum[from:to], q.Total[from:to]
}

const (
	leastNormal = 0x1p-126
	infinite    = 0x7f800000 // bits of +Inf; those of NaN are above
)

func quantize(q *Quantized, row int, x []float32) {
	codes, scale, sum, total := q.row(row)
	x = x[:len(codes)]
	for b := range scale {
		sum[b], scale[b] = quantizeBlock(codes[b*blockColumns:][:blockColumns], x[b*blockColumns:][:blockColumns])
		total[b] = scale[b] * float32(sum[b])
	}
}

func quantizeBlock(codes []int8, x []float32) (sum int32, scale float32) {
	var most uint32 // magnitudes compare like their bits
	for _, v := range x {
		most = max(most, math.Float32bits(v)&^(1<<31))
	}
	scale = math.Float32frombits(most) / 127
	switch {
	case most >= infinite:
		clear(codes)
		return 0, float32(math.NaN())
	case scale < leastNormal:
		clear(codes)
		return 0, 0
	}
	inverse := 1 / scale
	for i, v := range x {
		c := int32(math.RoundToEven(float64(v * inverse)))
		codes[i] = int8(c)
		sum += c
	}
	return sum, scale
}
