package bm25

// stride is how many sums are looked at together.
const stride = 32

// skipBelow returns how many sums at the start of acc, in whole strides, lie below
// need, or len(acc) where all do. Sums and need are less than 2³¹, need is not 0.
func skipBelow(acc []uint32, need uint32) int {
	i := skipStrides(acc, need)
	if i > len(acc)-stride && !anyAtLeast(acc[i:], need) {
		return len(acc)
	}
	return i
}

// skipStridesGo is skipStrides in plain Go: it returns where the first whole
// stride with a sum of at least need begins, or else where whole strides end.
func skipStridesGo(acc []uint32, need uint32) int {
	i := 0
	for ; i+stride <= len(acc); i += stride {
		if anyAtLeast(acc[i:i+stride], need) {
			break
		}
	}
	return i
}

// anyAtLeast reports whether one of the sums reaches need: adding 2³¹ − need then
// sets the highest bit.
func anyAtLeast(acc []uint32, need uint32) bool {
	c, bits := 1<<31-need, uint32(0)
	for len(acc) >= 8 {
		bits |= (acc[0] + c) | (acc[1] + c) | (acc[2] + c) | (acc[3] + c) | (acc[4] + c) | (acc[5] + c) | (acc[6] + c) | (acc[7] + c)
		acc = acc[8:]
	}
	for _, sum := range acc {
		bits |= sum + c
	}
	return bits>>31 != 0
}
