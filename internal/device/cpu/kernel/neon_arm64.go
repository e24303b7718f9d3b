package kernel

import (
	"unsafe"

	"github.com/flashback-lm/flashback/internal/tensor"
)

//go:generate go run -C gen ./neon -set neon -out ../neon_arm64.s -stubs ../neon_stubs_arm64.go

// neon is the set for NEON, which every arm64 has. A dot product has 8 partial
// sums.
var neon = &Set{
	Name: "neon",
	Dequantize: dequantizers{
		tensor.F16:  dequantizeF16NEON,
		tensor.BF16: dequantizeBF16NEON,
		tensor.Q4_0: dequantizeQ4_0NEON,
		tensor.Q4_1: dequantizeQ4_1NEON,
		tensor.Q8_0: dequantizeQ8_0NEON,
		tensor.Q4_K: dequantizeQ4_KNEON,
		tensor.Q5_0: dequantizeQ5_0NEON,
		tensor.Q5_1: dequantizeQ5_1NEON,
		tensor.Q5_K: dequantizeQ5_KNEON,
		tensor.Q6_K: dequantizeQ6_KNEON,
	}.function(8),
	MatMul: tiledMatMul(matMul1NEON, matMul2NEON, matMul3NEON),
	MatVec: matVecs{
		tensor.F16:  matVecF16NEON,
		tensor.BF16: matVecBF16NEON,
		tensor.Q4_0: matVecQ4_0NEON,
		tensor.Q4_1: matVecQ4_1NEON,
		tensor.Q8_0: matVecQ8_0NEON,
		tensor.Q4_K: matVecQ4_KNEON,
		tensor.Q5_0: matVecQ5_0NEON,
		tensor.Q5_1: matVecQ5_1NEON,
		tensor.Q5_K: matVecQ5_KNEON,
		tensor.Q6_K: matVecQ6_KNEON,
	}.function(matMul1NEON),
	Quantize: func(q *Quantized, row int, x []float32) {
		codes, blocks := q.rows(row, 1)
		x = x[:len(codes)]
		quantizeNEON(unsafe.SliceData(codes), pointer(blocks), unsafe.SliceData(x), len(blocks))
	},
	MatMulInt8: tiledMatMulInt8([...]int8Tiles{
		nibbles:       {low: []matMulInt8Tile{matMulInt8Nibbles1NEON, matMulInt8Nibbles2NEON, matMulInt8Nibbles3NEON, matMulInt8Nibbles4NEON}},
		offsetNibbles: {low: []matMulInt8Tile{matMulInt8OffsetNibbles1NEON, matMulInt8OffsetNibbles2NEON, matMulInt8OffsetNibbles3NEON, matMulInt8OffsetNibbles4NEON}},
		superNibbles:  {low: []matMulInt8Tile{matMulInt8SuperNibbles1NEON, matMulInt8SuperNibbles2NEON, matMulInt8SuperNibbles3NEON, matMulInt8SuperNibbles4NEON}},
		fives:         {low: []matMulInt8Tile{matMulInt8Fives1NEON, matMulInt8Fives2NEON, matMulInt8Fives3NEON, matMulInt8Fives4NEON}},
		offsetFives:   {low: []matMulInt8Tile{matMulInt8OffsetFives1NEON, matMulInt8OffsetFives2NEON, matMulInt8OffsetFives3NEON, matMulInt8OffsetFives4NEON}},
		superFives:    {low: []matMulInt8Tile{matMulInt8SuperFives1NEON, matMulInt8SuperFives2NEON, matMulInt8SuperFives3NEON, matMulInt8SuperFives4NEON}},
		superSixes:    {low: []matMulInt8Tile{matMulInt8SuperSixes1NEON, matMulInt8SuperSixes2NEON, matMulInt8SuperSixes3NEON, matMulInt8SuperSixes4NEON}},
		wide:          {low: []matMulInt8Tile{matMulInt8Wide1NEON, matMulInt8Wide2NEON, matMulInt8Wide3NEON, matMulInt8Wide4NEON}},
	}),
	ToHalf: func(dst []uint16, src []float32) {
		dst = dst[:len(src)]
		whole := len(src) &^ 7
		toHalfNEON(unsafe.SliceData(dst), unsafe.SliceData(src), whole/8)
		toHalf(dst[whole:], src[whole:])
	},
	FromHalf: func(dst []float32, src []uint16) {
		dst = dst[:len(src)]
		whole := len(src) &^ 7
		fromHalfNEON(unsafe.SliceData(dst), unsafe.SliceData(src), whole/8)
		fromHalf(dst[whole:], src[whole:])
	},
	Accumulate:     accumulateBy,
	AccumulateHalf: tiledAccumulateHalf(accumulateHalf1NEON, accumulateHalf2NEON, accumulateHalf3NEON, accumulateHalf4NEON),
	ScoresInt8:     scoresInt8,
	OutputsInt8:    outputsInt8,

	Softmax:     softmaxRow(softmaxNEON).function(),
	SoftmaxRows: rowsOf(softmaxRow(softmaxNEON).function(), scaleBy),
	Merge:       mergeOf(scaleBy, accumulateBy),

	Code16:       code16,
	WeightsInt16: weightsInt16,
	ScoresInt16:  scoresInt16,
	OutputsInt16: outputsInt16,

	Scale: scaleBy,
	Add: func(x, y []float32) {
		y = y[:len(x)]
		addNEON(unsafe.SliceData(x), unsafe.SliceData(y), len(x))
	},
	RMSNorm: rmsNormRow(rmsNormNEON).function(),
	SwiGLU:  swiGLURow(swiGLUNEON).function(),
	Rotate: func(x, cos, sin []float32) {
		cos, sin = cos[:len(x)/2], sin[:len(x)/2]
		whole := len(cos) &^ 3
		rotateNEON(unsafe.SliceData(x), unsafe.SliceData(cos), unsafe.SliceData(sin), whole/4)
		rotate(x[2*whole:], cos[whole:], sin[whole:])
	},
}

func scaleBy(x []float32, a float32) { scaleNEON(unsafe.SliceData(x), len(x), a) }

var accumulateBy = tiledAccumulate(accumulate1NEON, accumulate2NEON, accumulate3NEON, accumulate4NEON)
