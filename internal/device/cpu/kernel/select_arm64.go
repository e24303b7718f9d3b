package kernel

import "github.com/klauspost/cpuid/v2"

// assemblySets returns the sets in assembly that this processor can run, the
// fastest first. Every arm64 has NEON.
func assemblySets() []*Set {
	if cpuid.CPU.Supports(cpuid.ASIMDDP) {
		return []*Set{neondot, neon}
	}
	return []*Set{neon}
}
