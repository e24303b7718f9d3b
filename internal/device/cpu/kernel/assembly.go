//go:build amd64 || arm64

package kernel

import (
	"sync"
	"unsafe"

	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// Assembly checks no bounds and works on whole tiles or blocks. The functions of
// this file make a Set's functions of it.

// matMulTile multiplies a fixed number of rows of x with n rows of w.
type matMulTile func(out *float32, ldo int, x *float32, ldx int, w *float32, ldw int, n, k int)

// tiledMatMul makes a MatMul of tiles for 1, 2 … len(tiles) rows. All of them
// must give a row the same bits.
func tiledMatMul(tiles ...matMulTile) func(out []float32, ldo int, x []float32, ldx int, w []float32, ldw int, m, n, k int) {
	return func(out []float32, ldo int, x []float32, ldx int, w []float32, ldw int, m, n, k int) {
		if m == 0 || n == 0 {
			return
		}
		out, x, w = out[:(m-1)*ldo+n], x[:(m-1)*ldx+k], w[:(n-1)*ldw+k]
		for i := 0; i < m; i += len(tiles) {
			tile := tiles[min(len(tiles), m-i)-1]
			tile(&out[i*ldo], ldo, unsafe.SliceData(x[i*ldx:]), ldx, unsafe.SliceData(w), ldw, n, k)
		}
	}
}

// accumulateTile adds weighted sums of rows of v to a fixed number of rows.
type accumulateTile func(acc *float32, lda int, p *float32, ldp int, v *float32, ldv int, n, dim int)

// tiledAccumulate makes an Accumulate of tiles for 1, 2 … len(tiles) rows.
func tiledAccumulate(tiles ...accumulateTile) func(acc []float32, lda int, p []float32, ldp int, v []float32, ldv int, m, n, dim int) {
	return func(acc []float32, lda int, p []float32, ldp int, v []float32, ldv int, m, n, dim int) {
		if m == 0 || n == 0 || dim == 0 {
			return
		}
		acc, p, v = acc[:(m-1)*lda+dim], p[:(m-1)*ldp+n], v[:(n-1)*ldv+dim]
		for i := 0; i < m; i += len(tiles) {
			tile := tiles[min(len(tiles), m-i)-1]
			tile(&acc[i*lda], lda, &p[i*ldp], ldp, &v[0], ldv, n, dim)
		}
	}
}

// accumulateHalfTile is accumulateTile for dense rows of f16.
type accumulateHalfTile func(acc *float32, lda int, p *float32, ldp int, v *uint16, n, dim int, next *uint16)

// tiledAccumulateHalf makes an AccumulateHalf of tiles for 1, 2 … len(tiles) rows.
func tiledAccumulateHalf(tiles ...accumulateHalfTile) func(acc []float32, lda int, p []float32, ldp int, v []uint16, m, n, dim int, next []uint16) {
	return func(acc []float32, lda int, p []float32, ldp int, v []uint16, m, n, dim int, next []uint16) {
		if m == 0 || n == 0 || dim == 0 {
			return
		}
		acc, p, v = acc[:(m-1)*lda+dim], p[:(m-1)*ldp+n], v[:n*dim]
		if len(next) == 0 {
			next = v
		}
		for i := 0; i < m; i += len(tiles) {
			tile := tiles[min(len(tiles), m-i)-1]
			tile(&acc[i*lda], lda, &p[i*ldp], ldp, &v[0], n, dim, &next[0])
		}
	}
}

// scoresTile and outputsTile are ScoresInt8 and OutputsInt8 for a fixed number of
// rows.
type (
	scoresTile  func(acc *float32, lda int, q *float32, ldq int, codes *int8, scales *float32, dim int, next *int8)
	outputsTile func(acc *float32, lda int, p *float32, ldp int, codes *int8, scales *float32, n, dim int, next *int8)
)

// scaleCount returns how many scales the elements of a block of keys or values have.
func scaleCount(dim int) int { return (dim + blockColumns - 1) / blockColumns * blockColumns }

// tiledScoresInt8 makes a ScoresInt8 of tiles for 1, 2 … len(tiles) rows.
func tiledScoresInt8(tiles ...scoresTile) func(acc []float32, lda int, q []float32, ldq int, codes []int8, scales []float32, m, dim int, next []int8) {
	return func(acc []float32, lda int, q []float32, ldq int, codes []int8, scales []float32, m, dim int, next []int8) {
		if m == 0 || dim == 0 {
			return
		}
		acc, q, codes, scales = acc[:(m-1)*lda+blockColumns], q[:(m-1)*ldq+dim], codes[:dim*blockColumns], scales[:scaleCount(dim)]
		if len(next) == 0 {
			next = codes
		}
		for i := 0; i < m; i += len(tiles) {
			tile := tiles[min(len(tiles), m-i)-1]
			tile(&acc[i*lda], lda, &q[i*ldq], ldq, &codes[0], &scales[0], dim, &next[0])
		}
	}
}

// tiledOutputsInt8 makes an OutputsInt8 of tiles for 1, 2 … len(tiles) rows.
func tiledOutputsInt8(tiles ...outputsTile) func(acc []float32, lda int, p []float32, ldp int, codes []int8, scales []float32, m, n, dim int, next []int8) {
	return func(acc []float32, lda int, p []float32, ldp int, codes []int8, scales []float32, m, n, dim int, next []int8) {
		if m == 0 || n == 0 || dim == 0 {
			return
		}
		acc, p, codes = acc[:(m-1)*lda+dim], p[:(m-1)*ldp+n], codes[:n*dim]
		scales = scales[:scaleCount(dim)-blockColumns+n]
		if len(next) == 0 {
			next = codes
		}
		for i := 0; i < m; i += len(tiles) {
			tile := tiles[min(len(tiles), m-i)-1]
			tile(&acc[i*lda], lda, &p[i*ldp], ldp, &codes[0], &scales[0], n, dim, &next[0])
		}
	}
}

// dequantizers expand blocks by storage type. A block of a type whose weights
// stand alone is a vector of lanes.
type dequantizers [tensor.Types]func(dst *float32, src *byte, blocks int)

func (d dequantizers) function(lanes int) func(t tensor.Type, dst []float32, src []byte) {
	return func(t tensor.Type, dst []float32, src []byte) {
		src = src[:t.RowBytes(len(dst))]
		if t == tensor.F32 {
			copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(dst))), 4*len(dst)), src)
			return
		}
		whole := 0
		if expand := d[t]; expand != nil {
			block := max(t.BlockWeights(), lanes)
			whole = len(dst) / block * block
			expand(unsafe.SliceData(dst), unsafe.SliceData(src), whole/block)
		}
		quant.Dequantize(t, dst[whole:], src[t.RowBytes(whole):])
	}
}

// matVecs multiply x with n rows of k weights by storage type.
type matVecs [tensor.Types]func(out *float32, x *float32, w *byte, n, k int)

// expanded are rows of weights in f32 that products may use for a while.
var expanded = sync.Pool{New: func() any { return new([]float32) }}

// function makes a MatVec; rows of F32 are a matter of matMul, and rows of a type that
// has no assembly are expanded for it.
func (v matVecs) function(matMul matMulTile) func(t tensor.Type, out, x []float32, w []byte, n, k int) {
	v[tensor.F32] = func(out *float32, x *float32, w *byte, n, k int) {
		matMul(out, n, x, k, (*float32)(unsafe.Pointer(w)), k, n, k)
	}
	return func(t tensor.Type, out, x []float32, w []byte, n, k int) {
		if n == 0 {
			return
		}
		out, x, w = out[:n], x[:k], w[:n*t.RowBytes(k)]
		if product := v[t]; product != nil {
			product(unsafe.SliceData(out), unsafe.SliceData(x), unsafe.SliceData(w), n, k)
			return
		}
		row := expanded.Get().(*[]float32)
		defer expanded.Put(row)
		*row = grow(*row, k)
		for j := range out {
			quant.Dequantize(t, *row, w[j*t.RowBytes(k):])
			matMul(&out[j], 1, unsafe.SliceData(x), k, unsafe.SliceData(*row), k, 1, k)
		}
	}
}

type softmaxRow func(s *float32, n int, scale, max float32) (newMax, sum float32)

func (f softmaxRow) function() func(s []float32, scale, max float32) (newMax, sum float32) {
	return func(s []float32, scale, max float32) (newMax, sum float32) {
		return f(unsafe.SliceData(s), len(s), scale, max)
	}
}

type softmaxTile func(s *float32, lds, m, n int, scale float32, max, sum, acc *float32, dim int)

func (f softmaxTile) function() func(s []float32, lds, m, n int, scale float32, max, sum, acc []float32, dim int) {
	return func(s []float32, lds, m, n int, scale float32, max, sum, acc []float32, dim int) {
		if m == 0 {
			return
		}
		s, max, sum, acc = s[:(m-1)*lds+n], max[:m], sum[:m], acc[:m*dim]
		f(unsafe.SliceData(s), lds, m, n, scale, unsafe.SliceData(max), unsafe.SliceData(sum), unsafe.SliceData(acc), dim)
	}
}

type mergeTile func(max *float32, sum *float32, acc *float32, max2 *float32, sum2 *float32, acc2 *float32, m int, dim int, unit float32, weights *float32)

func (f mergeTile) function() func(max, sum, acc, max2, sum2, acc2 []float32, dim int, unit float32, weights []float32) {
	return func(max, sum, acc, max2, sum2, acc2 []float32, dim int, unit float32, weights []float32) {
		m := len(max)
		if m == 0 {
			return
		}
		sum, acc, max2, sum2, acc2, weights = sum[:m], acc[:m*dim], max2[:m], sum2[:m], acc2[:m*dim], weights[:2*m]
		f(&max[0], &sum[0], unsafe.SliceData(acc), &max2[0], &sum2[0], unsafe.SliceData(acc2), m, dim, unit, &weights[0])
	}
}

type rmsNormRow func(dst, x, w *float32, n int, eps float32)

func (f rmsNormRow) function() func(dst, x, w []float32, eps float32) {
	return func(dst, x, w []float32, eps float32) {
		dst, w = dst[:len(x)], w[:len(x)]
		f(unsafe.SliceData(dst), unsafe.SliceData(x), unsafe.SliceData(w), len(x), eps)
	}
}

type swiGLURow func(gate, up *float32, n int)

func (f swiGLURow) function() func(gate, up []float32) {
	return func(gate, up []float32) {
		up = up[:len(gate)]
		f(unsafe.SliceData(gate), unsafe.SliceData(up), len(gate))
	}
}
