package kernel

import (
	"slices"

	"github.com/klauspost/cpuid/v2"
)

// assemblySets returns the sets in assembly that this processor and its
// operating system can run, the fastest first.
func assemblySets() []*Set {
	cpu := cpuid.CPU
	if !cpu.Supports(cpuid.AVX2, cpuid.FMA3, cpuid.F16C) {
		return nil
	}
	sets := []*Set{avx2}
	for _, better := range []struct {
		set   *Set
		needs []cpuid.FeatureID
		allow func() bool
	}{
		{avx512, []cpuid.FeatureID{cpuid.BMI2, cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512VL, cpuid.AVX512DQ}, nil},
		{avx512vnni, []cpuid.FeatureID{cpuid.AVX512VNNI}, nil},
		{amx, []cpuid.FeatureID{cpuid.AMXTILE, cpuid.AMXINT8, cpuid.AMXBF16, cpuid.AVX512BF16}, allowAMX},
	} {
		if !cpu.Supports(better.needs...) || better.allow != nil && !better.allow() {
			break
		}
		sets = slices.Insert(sets, 0, better.set)
	}
	return sets
}
