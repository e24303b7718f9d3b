package kernel

import "unsafe"

// matMulTile multiplies a fixed number of rows of x with n rows of w.
type matMulTile func(out *float32, ldo int, x *float32, ldx int, w *float32, ldw int, n, k int)

// tiledMatMul makes a MatMul of tiles for 1, 2 … len(tiles) rows. All of them
// must give a row the same bits.
func tiledMatMul(tiles ...matMulTile) func(out []float32, ldo int, x []float32, ldx int, w []float32, ldw int, m, n, k int) {
	return func(out []float32, ldo int, x []float32, ldx int, w []float32, ldw int, m, n, k int) {
		if m == 0 || n == 0 {
			return
		}
		// Assembly checks no bounds: do it once for all.
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
