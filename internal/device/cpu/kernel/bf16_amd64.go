package kernel

import (
	"math"
	"unsafe"
)

// withBF16 returns the set with products in bf16.
func (s *Set) withBF16() *Set {
	s.ToBF16, s.MatMulBF16 = toBF16, matMulBF16
	return s
}

func matMulBF16(acc []float32, ldacc int, a []uint16, lda int, b []uint32, k int) {
	acc, a, b = acc[:(SideBF16-1)*ldacc+SideBF16], a[:(SideBF16-1)*lda+k], b[:SideBF16*k/2]
	matMulBF16AMX(&acc[0], ldacc, unsafe.SliceData(a), lda, unsafe.SliceData(b), k/SideBF16)
}

func toBF16(dst []uint16, src []float32) {
	const lanes = 16
	dst = dst[:len(src)]
	whole := len(src) / lanes * lanes
	toBF16AVX512(unsafe.SliceData(dst), unsafe.SliceData(src), whole/lanes)
	for i, v := range src[whole:] {
		dst[whole+i] = bf16Of(v)
	}
}

// bf16Of rounds as VCVTNEPS2BF16 does.
func bf16Of(v float32) uint16 {
	bits := math.Float32bits(v)
	switch magnitude := bits &^ (1 << 31); {
	case magnitude > 0x7f800000: // not a number: quiet
		return uint16(bits>>16) | 1<<6
	case magnitude < 1<<23: // below the normal numbers
		return uint16(bits >> 16 & 0x8000)
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
