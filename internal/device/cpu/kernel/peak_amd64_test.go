package kernel

// peak runs the set's peak loop and returns its operations.
func peak(set *Set) float64 {
	const steps = 1 << 18
	switch set.Name {
	case "avx2":
		peakAVX2(steps)
		return steps * 12 * 8 * 2
	case "avx512", "avx512vnni", "amx":
		peakAVX512(steps)
		return steps * 12 * 16 * 2
	}
	return 0
}
