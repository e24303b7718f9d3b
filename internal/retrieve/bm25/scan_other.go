//go:build !amd64

package bm25

// skipStrides returns where the first whole stride with a sum of at least need
// begins, or else where whole strides end.
func skipStrides(acc []uint32, need uint32) int { return skipStridesGo(acc, need) }
