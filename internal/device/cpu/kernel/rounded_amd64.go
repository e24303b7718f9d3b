package kernel

import (
	"math"
	"unsafe"
)

// tileInt16Assembly makes a tile of a function whose strides are in bytes.
func tileInt16Assembly(f func(acc *float32, ldacc int, a *uint16, lda int, scales *float32, ldScales int, b *uint32, half int, by float32, blocks int)) func([]float32, int, []uint16, []float32, []uint32, float32, int) {
	return func(acc []float32, ldacc int, a []uint16, scales []float32, b []uint32, by float32, k int) {
		blocks := k / RoundedBlock
		b = b[:RoundedColumns*k/2]
		f(&acc[0], 4*ldacc, unsafe.SliceData(a), 2*k, unsafe.SliceData(scales), 4*blocks, unsafe.SliceData(b), 2*groupColumns*k, by, blocks)
	}
}

// roundingBF16 is the rounding to bf16, whose numbers need no scale; those below the
// normal ones count as 0.
var roundingBF16 = &Rounding{
	Name: "bf16",
	Rows: sideBF16,
	Left: func(dst []uint16, scales, x []float32) {
		toBF16(dst, x)
		clear(dst[len(x):])
		for i := range scales {
			scales[i] = 1
		}
	},
	Right: func(dst []uint16, x []float32) float32 {
		toBF16(dst, x)
		return 1
	},
	tile: func(acc []float32, ldacc int, a []uint16, _ []float32, b []uint32, _ float32, k int) {
		b = b[:RoundedColumns*k/2]
		matMulBF16AMX(&acc[0], ldacc, unsafe.SliceData(a), k, unsafe.SliceData(b), k/sideBF16)
	},
}

// withBF16 returns the set with large products in bf16.
func (s *Set) withBF16() *Set {
	s.Rounding = roundingBF16
	return s
}

// sideBF16 is how many rows, and how many terms, tiles of AMX take two of.
const sideBF16 = 32

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
