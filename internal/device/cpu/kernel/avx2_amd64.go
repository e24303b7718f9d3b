package kernel

import (
	"unsafe"

	"github.com/flashback-lm/flashback/internal/tensor"
)

//go:generate go run -C gen . -set avx2 -out ../avx2_amd64.s -stubs ../avx2_stubs_amd64.go -pkg kernel

// avx2 is the set for AVX2, FMA and F16C. Sums of products go to 8 lanes.
var avx2 = &Set{
	Name:       "avx2",
	Dequantize: dequantizeAVX2,
	MatMul:     tiledMatMul(matMul1AVX2, matMul2AVX2, matMul3AVX2),
	MatVec:     matVecAVX2,
	Accumulate: tiledAccumulate(accumulate1AVX2, accumulate2AVX2, accumulate3AVX2),
	Softmax: func(s []float32, scale, max float32) (newMax, sum float32) {
		return softmaxAVX2(unsafe.SliceData(s), len(s), scale, max)
	},
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
	RMSNorm: func(dst, x, w []float32, eps float32) {
		dst, w = dst[:len(x)], w[:len(x)]
		rmsNormAVX2(unsafe.SliceData(dst), unsafe.SliceData(x), unsafe.SliceData(w), len(x), eps)
	},
	SwiGLU: func(gate, up []float32) {
		up = up[:len(gate)]
		swiGLUAVX2(unsafe.SliceData(gate), unsafe.SliceData(up), len(gate))
	},
	Rotate: func(x, cos, sin []float32) {
		cos, sin = cos[:len(x)/2], sin[:len(x)/2]
		whole := len(cos) &^ 3
		rotateAVX2(unsafe.SliceData(x), unsafe.SliceData(cos), unsafe.SliceData(sin), whole/4)
		rotate(x[2*whole:], cos[whole:], sin[whole:])
	},
}

func dequantizeAVX2(t tensor.Type, dst []float32, src []byte) {
	blocks := len(dst) / t.BlockWeights()
	src = src[:t.RowBytes(len(dst))]
	to, from := unsafe.SliceData(dst), unsafe.SliceData(src)
	switch t {
	case tensor.Q4_0:
		dequantizeQ4_0AVX2(to, from, blocks)
	case tensor.Q4_1:
		dequantizeQ4_1AVX2(to, from, blocks)
	case tensor.Q8_0:
		dequantizeQ8_0AVX2(to, from, blocks)
	case tensor.Q4_K:
		dequantizeQ4_KAVX2(to, from, blocks)
	case tensor.Q6_K:
		dequantizeQ6_KAVX2(to, from, blocks)
	case tensor.F16:
		whole := len(dst) &^ 7
		dequantizeF16AVX2(to, from, whole/8)
		dequantize(t, dst[whole:], src[2*whole:])
	case tensor.BF16:
		whole := len(dst) &^ 7
		dequantizeBF16AVX2(to, from, whole/8)
		dequantize(t, dst[whole:], src[2*whole:])
	default:
		dequantize(t, dst, src)
	}
}

func matVecAVX2(t tensor.Type, out, x []float32, w []byte, n, k int) {
	if n == 0 {
		return
	}
	out, x, w = out[:n], x[:k], w[:n*t.RowBytes(k)]
	to, from, weights := unsafe.SliceData(out), unsafe.SliceData(x), unsafe.SliceData(w)
	switch t {
	case tensor.F32:
		matMul1AVX2(to, 0, from, 0, (*float32)(unsafe.Pointer(weights)), k, n, k)
	case tensor.F16:
		matVecF16AVX2(to, from, weights, n, k)
	case tensor.BF16:
		matVecBF16AVX2(to, from, weights, n, k)
	case tensor.Q4_0:
		matVecQ4_0AVX2(to, from, weights, n, k)
	case tensor.Q4_1:
		matVecQ4_1AVX2(to, from, weights, n, k)
	case tensor.Q8_0:
		matVecQ8_0AVX2(to, from, weights, n, k)
	case tensor.Q4_K:
		matVecQ4_KAVX2(to, from, weights, n, k)
	case tensor.Q6_K:
		matVecQ6_KAVX2(to, from, weights, n, k)
	default:
		panic("kernel: product with " + t.String()) // loaders refuse other types
	}
}
