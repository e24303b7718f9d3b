package kernel

import (
	"unsafe"

	"github.com/flashback-lm/flashback/internal/tensor"
)

//go:generate go run -C gen . -set avx2 -out ../avx2_amd64.s -stubs ../avx2_stubs_amd64.go -pkg kernel

// avx2 is the set for AVX2, FMA and F16C. A dot product has 8 partial sums.
var avx2 = &Set{
	Name: "avx2",
	Dequantize: dequantizers{
		tensor.F16:  dequantizeF16AVX2,
		tensor.BF16: dequantizeBF16AVX2,
		tensor.Q4_0: dequantizeQ4_0AVX2,
		tensor.Q4_1: dequantizeQ4_1AVX2,
		tensor.Q8_0: dequantizeQ8_0AVX2,
		tensor.Q4_K: dequantizeQ4_KAVX2,
		tensor.Q5_0: dequantizeQ5_0AVX2,
		tensor.Q5_1: dequantizeQ5_1AVX2,
		tensor.Q5_K: dequantizeQ5_KAVX2,
		tensor.Q6_K: dequantizeQ6_KAVX2,
	}.function(8),
	MatMul: tiledMatMul(matMul1AVX2, matMul2AVX2, matMul3AVX2),
	MatVec: matVecs{
		tensor.F16:  matVecF16AVX2,
		tensor.BF16: matVecBF16AVX2,
		tensor.Q4_0: matVecQ4_0AVX2,
		tensor.Q4_1: matVecQ4_1AVX2,
		tensor.Q8_0: matVecQ8_0AVX2,
		tensor.Q4_K: matVecQ4_KAVX2,
		tensor.Q5_0: matVecQ5_0AVX2,
		tensor.Q5_1: matVecQ5_1AVX2,
		tensor.Q5_K: matVecQ5_KAVX2,
		tensor.Q6_K: matVecQ6_KAVX2,
	}.function(matMul1AVX2),
	Quantize: func(q *Quantized, row int, x []float32) {
		codes, blocks := q.rows(row, 1)
		x = x[:len(codes)]
		quantizeAVX2(unsafe.SliceData(codes), pointer(blocks), unsafe.SliceData(x), len(blocks))
	},
	MatMulInt8: tiledMatMulInt8([...]int8Tiles{
		nibbles:       {low: []matMulInt8Tile{matMulInt8Nibbles1AVX2, matMulInt8Nibbles2AVX2, matMulInt8Nibbles3AVX2, matMulInt8Nibbles4AVX2}},
		offsetNibbles: {low: []matMulInt8Tile{matMulInt8OffsetNibbles1AVX2, matMulInt8OffsetNibbles2AVX2, matMulInt8OffsetNibbles3AVX2, matMulInt8OffsetNibbles4AVX2}},
		superNibbles:  {low: []matMulInt8Tile{matMulInt8SuperNibbles1AVX2, matMulInt8SuperNibbles2AVX2, matMulInt8SuperNibbles3AVX2, matMulInt8SuperNibbles4AVX2}},
		fives:         {low: []matMulInt8Tile{matMulInt8Fives1AVX2, matMulInt8Fives2AVX2, matMulInt8Fives3AVX2, matMulInt8Fives4AVX2}},
		offsetFives:   {low: []matMulInt8Tile{matMulInt8OffsetFives1AVX2, matMulInt8OffsetFives2AVX2, matMulInt8OffsetFives3AVX2, matMulInt8OffsetFives4AVX2}},
		superFives:    {low: []matMulInt8Tile{matMulInt8SuperFives1AVX2, matMulInt8SuperFives2AVX2, matMulInt8SuperFives3AVX2, matMulInt8SuperFives4AVX2}},
		superSixes:    {low: []matMulInt8Tile{matMulInt8SuperSixes1AVX2, matMulInt8SuperSixes2AVX2, matMulInt8SuperSixes3AVX2, matMulInt8SuperSixes4AVX2}},
		wide:          {low: []matMulInt8Tile{matMulInt8Wide1AVX2, matMulInt8Wide2AVX2, matMulInt8Wide3AVX2, matMulInt8Wide4AVX2}},
	}),
	ToHalf: func(dst []uint16, src []float32) {
		dst = dst[:len(src)]
		whole := len(src) &^ 7
		toHalfAVX2(unsafe.SliceData(dst), unsafe.SliceData(src), whole/8)
		toHalf(dst[whole:], src[whole:])
	},
	FromHalf: func(dst []float32, src []uint16) {
		dst = dst[:len(src)]
		whole := len(src) &^ 7
		fromHalfAVX2(unsafe.SliceData(dst), unsafe.SliceData(src), whole/8)
		fromHalf(dst[whole:], src[whole:])
	},
	Accumulate: tiledAccumulate(accumulate1AVX2, accumulate2AVX2, accumulate3AVX2),
	Softmax:    softmaxRow(softmaxAVX2).function(),

	SoftmaxRows: softmaxTile(softmaxRowsAVX2).function(),
	Merge:       mergeTile(mergeAVX2).function(),

	AccumulateHalf: tiledAccumulateHalf(accumulateHalf1AVX2, accumulateHalf2AVX2, accumulateHalf3AVX2),

	ScoresInt8:  tiledScoresInt8(scoresInt81AVX2, scoresInt82AVX2, scoresInt83AVX2),
	OutputsInt8: tiledOutputsInt8(outputsInt81AVX2, outputsInt82AVX2, outputsInt83AVX2),

	Code16:       code16Vectors,
	WeightsInt16: weightsInt16Of(weightsInt16AVX2),
	ScoresInt16: tiledScoresInt16(nil, scoresInt161AVX2, scoresInt162AVX2, scoresInt163AVX2,
		scoresInt164AVX2, scoresInt165AVX2, scoresInt166AVX2),
	OutputsInt16: tiledOutputsInt16(nil, outputsInt161AVX2, outputsInt162AVX2, outputsInt163AVX2,
		outputsInt164AVX2, outputsInt165AVX2, outputsInt166AVX2),
	FastInt16: true,

	Rounding: roundingInt16(code16Vectors, 6, tileInt16Assembly(matMulInt16AVX2)),

	Scale: func(x []float32, a float32) {
		whole := len(x) &^ 7
		scaleAVX2(unsafe.SliceData(x), a, whole/8)
		scale(x[whole:], a)
	},
	Add: func(x, y []float32) {
		y = y[:len(x)]
		whole := len(x) &^ 7
		addAVX2(unsafe.SliceData(x), unsafe.SliceData(y), whole/8)
		add(x[whole:], y[whole:])
	},
	RMSNorm: rmsNormRow(rmsNormAVX2).function(),
	SwiGLU:  swiGLURow(swiGLUAVX2).function(),
	Rotate: func(x, cos, sin []float32) {
		cos, sin = cos[:len(x)/2], sin[:len(x)/2]
		whole := len(cos) &^ 3
		rotateAVX2(unsafe.SliceData(x), unsafe.SliceData(cos), unsafe.SliceData(sin), whole/4)
		rotate(x[2*whole:], cos[whole:], sin[whole:])
	},
}
