package kernel

import "github.com/flashback-lm/flashback/internal/tensor"

//go:generate go run -C gen . -set avx512 -out ../avx512_amd64.s -stubs ../avx512_stubs_amd64.go -pkg kernel

// avx512 is the set for AVX-512 F, BW, VL and DQ. A dot product has 16 partial
// sums; what reads little and computes less is that of avx2.
var avx512 = &Set{
	Name: "avx512",
	Dequantize: dequantizers{
		tensor.F16:  dequantizeF16AVX512,
		tensor.BF16: dequantizeBF16AVX512,
		tensor.Q4_0: dequantizeQ4_0AVX512,
		tensor.Q4_1: dequantizeQ4_1AVX512,
		tensor.Q8_0: dequantizeQ8_0AVX512,
		tensor.Q4_K: dequantizeQ4_KAVX512,
		tensor.Q5_0: dequantizeQ5_0AVX512,
		tensor.Q5_1: dequantizeQ5_1AVX512,
		tensor.Q5_K: dequantizeQ5_KAVX512,
		tensor.Q6_K: dequantizeQ6_KAVX512,
	}.function(16),
	MatMul: tiledMatMul(matMul1AVX512, matMul2AVX512, matMul3AVX512, matMul4AVX512),
	MatVec: matVecs{
		tensor.F16:  matVecF16AVX512,
		tensor.BF16: matVecBF16AVX512,
		tensor.Q4_0: matVecQ4_0AVX512,
		tensor.Q4_1: matVecQ4_1AVX512,
		tensor.Q8_0: matVecQ8_0AVX512,
		tensor.Q4_K: matVecQ4_KAVX512,
		tensor.Q5_0: matVecQ5_0AVX512,
		tensor.Q5_1: matVecQ5_1AVX512,
		tensor.Q5_K: matVecQ5_KAVX512,
		tensor.Q6_K: matVecQ6_KAVX512,
	}.function(matMul1AVX512),
	Quantize:   avx2.Quantize,
	MatMulInt8: avx2.MatMulInt8,
	ToHalf:     avx2.ToHalf,
	FromHalf:   avx2.FromHalf,
	Accumulate: tiledAccumulate(accumulate1AVX512, accumulate2AVX512, accumulate3AVX512, accumulate4AVX512),
	Softmax:    avx2.Softmax,

	SoftmaxRows: avx2.SoftmaxRows,
	Merge:       mergeTile(mergeAVX512).function(),

	AccumulateHalf: avx2.AccumulateHalf,

	ScoresInt8:  avx2.ScoresInt8,
	OutputsInt8: avx2.OutputsInt8,

	Code16:       avx2.Code16,
	WeightsInt16: weightsInt16Of(weightsInt16AVX512),
	ScoresInt16:  avx2.ScoresInt16,
	OutputsInt16: avx2.OutputsInt16,
	FastInt16:    true,

	Rounding: avx2.Rounding,

	Scale:   avx2.Scale,
	Add:     avx2.Add,
	RMSNorm: rmsNormRow(rmsNormAVX512).function(),
	SwiGLU:  swiGLURow(swiGLUAVX512).function(),
	Rotate:  avx2.Rotate,
}
