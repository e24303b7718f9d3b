package kernel

import "github.com/klauspost/cpuid/v2"

// assemblySets returns the sets in assembly that this processor and its
// operating system can run, the fastest first.
func assemblySets() []*Set {
	var sets []*Set
	if cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3, cpuid.F16C) {
		sets = append(sets, avx2)
	}
	return sets
}
