// Package kernel holds the inner loops of the CPU device: one Set of functions
// a compute path. The plain Go set is the oracle; the assembly sets are compared
// with it function by function.
//
// Every function promises that one output depends only on its own inputs, in an
// order of operations that is fixed for the set: MatMul gives the same bits for
// a row whether it is alone or among others, and whatever columns stand beside
// it. The exactness of the whole engine rests on that.
package kernel

import "github.com/flashback-lm/flashback/internal/tensor"

// MostWeight is the largest code of WeightsInt16: sums of 32 products with codes of
// 13 bits fit 32 bits.
const MostWeight = 1<<14 - 1

// Set is one compute path. Matrices are row-major with a leading dimension
// (elements from one row to the next). No function allocates or keeps a slice.
type Set struct {
	Name string

	// Dequantize expands whole blocks of stored weights: len(dst) weights from
	// src. Values equal ggml's in f32: multiply, then add, unfused.
	Dequantize func(t tensor.Type, dst []float32, src []byte)

	// MatMul sets out[i·ldo+j] = Σ_k x[i·ldx+k] · w[j·ldw+k] for i < m, j < n.
	MatMul func(out []float32, ldo int, x []float32, ldx int, w []float32, ldw int, m, n, k int)

	// MatVec sets out[j] = Σ_c x[c] · w[j, c] for j < n and c < k, where w holds n
	// stored rows of k weights: the bits that Dequantize and then MatMul give,
	// without the expanded weights leaving the registers.
	MatVec func(t tensor.Type, out []float32, x []float32, w []byte, n, k int)

	// Quantize rounds x to row of q, whose Cols are len(x). In a block scale =
	// max|x| / 127 and q = x · (1/scale), rounded to the nearest integer, ties to
	// even. A scale below the normal numbers becomes 0, and with it the block; a
	// block that holds an infinite number or NaN becomes codes of 0 whose
	// Scale and Total are NaN.
	Quantize func(q *Quantized, row int, x []float32)

	// MatMulInt8 multiplies rows of q from firstRow on with groups from … to-1 of
	// 16 rows of w, whose Cols are those of q: out[i·ldo + j - 16·from] is the
	// product of row firstRow+i of q and row j of w, for i < rows and
	// 16·from ≤ j < min(16·to, w.Rows). All sets give the same bits. From 0, it
	// adds for each block, in order,
	//
	//	(scale·Scale) · (Σ u·q - zero·Sum)
	//
	// and then, if w has offsets, offset · Total. Sums of integers are exact, and
	// each f32 operation is rounded.
	MatMulInt8 func(out []float32, ldo int, q *Quantized, firstRow, rows int, w *Panel, from, to int)

	// ToHalf rounds src to half precision, to nearest, ties to even.
	ToHalf func(dst []uint16, src []float32)

	// FromHalf expands len(src) numbers of half precision.
	FromHalf func(dst []float32, src []uint16)

	// Accumulate adds to acc[i·lda+d] the sum over j < n, in that order, of
	// p[i·ldp+j] · v[j·ldv+d], for i < m, d < dim.
	Accumulate func(acc []float32, lda int, p []float32, ldp int, v []float32, ldv int, m, n, dim int)

	// AccumulateHalf is Accumulate for v [n, dim] of half precision without gaps
	// between its rows, where dim is a multiple of 8: the bits of FromHalf and then
	// Accumulate. Meanwhile it may fetch next, which is as large as v or empty, to
	// the cache.
	AccumulateHalf func(acc []float32, lda int, p []float32, ldp int, v []uint16, m, n, dim int, next []uint16)

	// ScoresInt8 adds to acc[i·lda+t] the products of m rows of q with the 32 keys
	// of a block, for i < m, t < 32: for each 32 elements of the dim of a head, or
	// those that are left, in order,
	//
	//	scales[d/32 · 32 + t] · Σ q[i·ldq+d] · codes[d · 32 + t]
	//
	// dim is a multiple of 8. Meanwhile it may fetch next, which is as large as codes
	// or empty, to the cache.
	ScoresInt8 func(acc []float32, lda int, q []float32, ldq int, codes []int8, scales []float32, m, dim int, next []int8)

	// OutputsInt8 adds to acc[i·lda+d] the sum over t < n ≤ 32, in that order, of
	// (p[i·ldp+t] · scales[d/32 · 32 + t]) · codes[t·dim+d], for i < m, d < dim, which
	// is a multiple of 8; next as in ScoresInt8.
	OutputsInt8 func(acc []float32, lda int, p []float32, ldp int, codes []int8, scales []float32, m, n, dim int, next []int8)

	// Code16 rounds m rows of n numbers x[i·ldx+j] to codes[i·ldc+j] of at most most in
	// magnitude, with scales[i] = max|x| · (1/most) and code = x · (1/scale), each rounded,
	// the code to the nearest integer, ties to even. Codes of the row behind n, up to the
	// next multiple of 8, become 0. Scales below the normal numbers and numbers that are
	// not finite are treated as by Quantize. All sets give the same bits.
	Code16 func(codes []int16, ldc int, scales, x []float32, ldx int, m, n int, most int16)

	// WeightsInt16 is a step of m online softmaxes in powers of two over the scores of
	// some blocks of 32, s[i·lds:]: SoftmaxRows with factor as its scale and 2^x for
	// exp(x), but the weights, times by[j], go to codes p[i·ldp+j] of at most MostWeight,
	// with a scale for each row and block, scales[b·ldScales+i], at least 2^-126. Scores of -Inf
	// weigh less than 2^-124. Weights are within 10⁻⁵ of themselves and half a code.
	WeightsInt16 func(p []int16, ldp int, scales []float32, ldScales int, s []float32, lds, m, blocks int, factor float32, by, max, sum, acc []float32, dim int)

	// ScoresInt16 sets out[i·ldo+t] to the product of row i of q, dim codes at
	// q[i·ldq:] with a scale each, and the 32 keys [2, dim/2, 16, 2] of a block, for i < m,
	// t < 32: the first index and the third are the token's, the second and the last the
	// element's. (Σ · keyScales[t]) · scales[i], each rounded, where the sum of integers is
	// exact and must fit 32 bits. dim is even. Meanwhile it may fetch next, which is as
	// large as keys or empty, to the cache. All sets give the same bits.
	ScoresInt16 func(out []float32, ldo int, q []int16, ldq int, scales []float32, keys []int16, keyScales []float32, m, dim int, next []int16)

	// OutputsInt16 adds to acc[i·lda+d] the sum over 2·pairs tokens of p[i·ldp+t] and
	// the values of a block [dim/16, 16, 16, 2], times scales[i], for i < m, d < dim: the
	// first index and the third are the element's; dim is a multiple of 8, and elements that
	// make no 16 stand last, [16, 8, 2]. acc + Σ · scale, each rounded; sums and next as in
	// ScoresInt16.
	OutputsInt16 func(acc []float32, lda int, p []int16, ldp int, scales []float32, values []int16, m, pairs, dim int, next []int16)

	// FastInt16 says that products in 16 bits take less time than those in f32.
	FastInt16 bool

	// Rounding multiplies large matrices in less time than f32 takes; nil: nothing here does.
	Rounding *Rounding

	// Softmax is one step of an online softmax over the n = len(s) scores of a
	// block. With M = max(max, scale · max s) it sets s[j] = exp(scale·s[j] - M)
	// and returns M and Σ s[j]; scale is positive. max is -Inf at first. While M
	// is -Inf (all scores so far are), s becomes 0 and so does the sum.
	Softmax func(s []float32, scale, max float32) (newMax, sum float32)

	// SoftmaxRows is a step of m online softmaxes over n scores each, those of row i
	// at s[i·lds:]: Softmax with max[i], which becomes M, and then sum[i] and the
	// row acc [m, dim] of weighted values are multiplied by exp(max[i] - M) where
	// these differ, and the sum of the scores is added to sum[i].
	SoftmaxRows func(s []float32, lds, m, n int, scale float32, max, sum, acc []float32, dim int)

	// Merge adds to m online softmaxes, [m], [m] and acc [m, dim], those of the same rows
	// over other scores: max[i] becomes the greater maximum M, and sum[i] and the row of acc
	// become themselves times exp(unit · (max[i] - M)) and the others times exp(unit ·
	// (max2[i] - M)). Where both maxima are -Inf nothing has been seen yet, and all become
	// 0. weights [2, m] is memory that it may use.
	Merge func(max, sum, acc, max2, sum2, acc2 []float32, dim int, unit float32, weights []float32)

	// Scale multiplies x by a.
	Scale func(x []float32, a float32)

	// Add adds y to x.
	Add func(x, y []float32)

	// RMSNorm sets dst = x / sqrt(mean(x²) + eps) · w; dst may be x.
	RMSNorm func(dst, x, w []float32, eps float32)

	// SwiGLU sets gate = gate · sigmoid(gate) · up.
	SwiGLU func(gate, up []float32)

	// Rotate turns the neighbouring pairs (x[2i], x[2i+1]) of one head by the
	// angles whose cosines and sines are given, len(x)/2 of each.
	Rotate func(x, cos, sin []float32)
}
