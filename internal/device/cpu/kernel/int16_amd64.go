package kernel

import "unsafe"

// scoresInt16Tile and outputsInt16Tile are ScoresInt16 and OutputsInt16 for a fixed
// number of rows.
type (
	scoresInt16Tile  func(out *float32, ldo int, q *int16, ldq int, scales *float32, keys *int16, keyScales *float32, pairs int, next *int16)
	outputsInt16Tile func(acc *float32, lda int, p *int16, ldp int, scales *float32, values *int16, pairs int, dim int, next *int16)
)

// tallInt16 is how many rows a tall tile has.
const tallInt16 = 12

// tiledScoresInt16 makes a ScoresInt16 of tiles for 1, 2 … len(low) rows and
// perhaps a tall one.
func tiledScoresInt16(tall scoresInt16Tile, low ...scoresInt16Tile) func(out []float32, ldo int, q []int16, ldq int, scales []float32, keys []int16, keyScales []float32, m, dim int, next []int16) {
	return func(out []float32, ldo int, q []int16, ldq int, scales []float32, keys []int16, keyScales []float32, m, dim int, next []int16) {
		if m == 0 || dim == 0 {
			return
		}
		out, q, scales = out[:(m-1)*ldo+blockColumns], q[:(m-1)*ldq+dim], scales[:m]
		keys, keyScales = keys[:dim*blockColumns], keyScales[:blockColumns]
		if len(next) == 0 {
			next = keys
		}
		for i, rows := 0, 0; i < m; i += rows {
			tile := tall
			if rows = tallInt16; tall == nil || m-i < rows {
				rows = min(len(low), m-i)
				tile = low[rows-1]
			}
			tile(&out[i*ldo], ldo, &q[i*ldq], ldq, &scales[i], &keys[0], &keyScales[0], dim/2, &next[0])
		}
	}
}

// tiledOutputsInt16 makes an OutputsInt16 of tiles for 1, 2 … len(low) rows and
// perhaps a tall one.
func tiledOutputsInt16(tall outputsInt16Tile, low ...outputsInt16Tile) func(acc []float32, lda int, p []int16, ldp int, scales []float32, values []int16, m, pairs, dim int, next []int16) {
	return func(acc []float32, lda int, p []int16, ldp int, scales []float32, values []int16, m, pairs, dim int, next []int16) {
		if m == 0 || pairs == 0 || dim == 0 {
			return
		}
		acc, p, scales = acc[:(m-1)*lda+dim], p[:(m-1)*ldp+2*pairs], scales[:m]
		values = values[:blockColumns*dim]
		if len(next) == 0 {
			next = values
		}
		for i, rows := 0, 0; i < m; i += rows {
			tile := tall
			if rows = tallInt16; tall == nil || m-i < rows {
				rows = min(len(low), m-i)
				tile = low[rows-1]
			}
			tile(&acc[i*lda], lda, &p[i*ldp], ldp, &scales[i], &values[0], pairs, dim, &next[0])
		}
	}
}

// code16Vectors is Code16 by AVX2.
func code16Vectors(codes []int16, ldc int, scales, x []float32, ldx int, m, n int, most int16) {
	if m == 0 || n == 0 {
		clear(scales[:m])
		return
	}
	codes, scales, x = codes[:(m-1)*ldc+(n+7)&^7], scales[:m], x[:(m-1)*ldx+n]
	code16AVX2(&codes[0], ldc, &scales[0], &x[0], ldx, m, n, 1/float32(most))
}

// weightsInt16 makes a WeightsInt16 of a function whose strides are in bytes.
func weightsInt16Of(f func(p *int16, ldp int, scales *float32, ldScales int, s *float32, lds int, m int, blocks int, factor float32, by *float32, max *float32, sum *float32, acc *float32, dim int)) func(p []int16, ldp int, scales []float32, ldScales int, s []float32, lds, m, blocks int, factor float32, by, max, sum, acc []float32, dim int) {
	return func(p []int16, ldp int, scales []float32, ldScales int, s []float32, lds, m, blocks int, factor float32, by, max, sum, acc []float32, dim int) {
		if m == 0 || blocks == 0 {
			return
		}
		n := blocks * blockColumns
		p, s, scales = p[:(m-1)*ldp+n], s[:(m-1)*lds+n], scales[:(blocks-1)*ldScales+m]
		by, max, sum, acc = by[:n], max[:m], sum[:m], acc[:m*dim]
		f(&p[0], 2*ldp, &scales[0], 4*ldScales, &s[0], 4*lds, m, blocks, factor, &by[0], &max[0], &sum[0], unsafe.SliceData(acc), dim)
	}
}
