package tensor

import "math"

// FromHalf returns the number of half precision (F16) with those bits.
func FromHalf(h uint16) float32 {
	const infinite = 0x7f800000 // bits of +Inf; those of NaN are above
	bits := uint32(h)
	sign, rest := bits&0x8000<<16, bits&0x7fff<<13
	if rest >= 0x7c00<<13 { // infinite or not a number
		return math.Float32frombits(sign | infinite | rest)
	}
	// The exponents' biases differ by 112; the product is exact, subnormals too.
	return math.Float32frombits(sign | math.Float32bits(math.Float32frombits(rest)*0x1p112))
}
