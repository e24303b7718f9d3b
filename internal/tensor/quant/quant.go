// Package quant says in plain Go what the bytes of stored weights stand for, a
// file a format. It is a leaf: the oracle, merging and adapters read weights through
// it, and the device's vectorised forms are held to its bits.
//
// A new format is a constant and its geometry in package tensor, a file here, and a
// row of the table below.
package quant

import (
	"encoding/binary"
	"fmt"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// decoders expand one block, by storage type; those of types whose weights stand
// alone expand any run of them. Products are rounded before they are added (the
// conversions forbid the compiler to fuse them), as dequantize_row_* of ggml-quants.c
// rounds them.
var decoders = [tensor.Types]func(dst []float32, block []byte){
	tensor.F32:    decodeF32,
	tensor.F16:    decodeF16,
	tensor.BF16:   decodeBF16,
	tensor.Q4_0:   decodeQ4_0,
	tensor.Q4_1:   decodeQ4_1,
	tensor.Q8_0:   decodeQ8_0,
	tensor.Q4_K:   decodeQ4_K,
	tensor.Q6_K:   decodeQ6_K,
	tensor.Q5_0:   decodeQ5_0,
	tensor.Q5_1:   decodeQ5_1,
	tensor.Q2_K:   decodeQ2_K,
	tensor.Q3_K:   decodeQ3_K,
	tensor.Q5_K:   decodeQ5_K,
	tensor.IQ4_NL: decodeIQ4_NL,
	tensor.IQ4_XS: decodeIQ4_XS,
	tensor.MXFP4:  decodeMXFP4,
}

// Dequantize expands len(dst) weights, whole blocks, from src, which may be longer.
// The values are ggml's in f32.
func Dequantize(t tensor.Type, dst []float32, src []byte) {
	decode := decoders[t]
	if decode == nil {
		panic(fmt.Sprintf("quant: dequantize %v", t)) // loaders refuse other types
	}
	src = src[:t.RowBytes(len(dst))]
	weights, bytes := t.BlockWeights(), t.BlockBytes()
	if weights == 1 {
		decode(dst, src)
		return
	}
	for len(dst) > 0 {
		decode(dst[:weights], src[:bytes])
		dst, src = dst[weights:], src[bytes:]
	}
}

// Row expands row i of a matrix into dst [m.Cols].
func Row(dst []float32, m tensor.Matrix, i int) { Dequantize(m.Type, dst[:m.Cols], m.Row(i)) }

// Vector returns the numbers of a matrix of one row; nil for one without rows.
func Vector(m tensor.Matrix) []float32 {
	if m.Rows == 0 {
		return nil
	}
	out := make([]float32, m.Cols)
	Row(out, m, 0)
	return out
}

// half reads one number of half precision.
func half(b []byte) float32 { return tensor.FromHalf(binary.LittleEndian.Uint16(b)) }

// MeanRow returns the mean of a matrix's rows [m.Cols].
func MeanRow(m tensor.Matrix) []float32 {
	row, sum := make([]float32, m.Cols), make([]float64, m.Cols)
	for i := range m.Rows {
		Row(row, m, i)
		for j, v := range row {
			sum[j] += float64(v)
		}
	}
	for j, s := range sum {
		row[j] = float32(s / float64(m.Rows))
	}
	return row
}
