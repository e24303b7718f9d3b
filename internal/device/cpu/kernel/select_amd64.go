package kernel

import "github.com/klauspost/cpuid/v2"

// assemblySets returns the sets in assembly that this processor and its
// operating system can run, the fastest first.
func assemblySets() []*Set {
	cpu := cpuid.CPU
	if !cpu.Supports(cpuid.AVX2, cpuid.FMA3, cpuid.F16C) {
		return nil
	}
	if !cpu.Supports(cpuid.BMI2, cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512VL, cpuid.AVX512DQ) {
		return []*Set{avx2}
	}
	return []*Set{avx512, avx2}
}
