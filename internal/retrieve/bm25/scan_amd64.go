package bm25

import "github.com/klauspost/cpuid/v2"

var hasAVX2 = cpuid.CPU.Supports(cpuid.AVX2)

// skipStridesAVX2 returns how many strides from acc on lie below need, at most n.
//
//go:noescape
func skipStridesAVX2(acc *uint32, n int, need uint32) int

// skipStrides returns where the first whole stride with a sum of at least need
// begins, or else where whole strides end.
func skipStrides(acc []uint32, need uint32) int {
	if !hasAVX2 || len(acc) < stride {
		return skipStridesGo(acc, need)
	}
	return stride * skipStridesAVX2(&acc[0], len(acc)/stride, need)
}
