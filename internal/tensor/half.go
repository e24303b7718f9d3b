package tensor

import "math"

const infinite = 0x7f800000 // bits of +Inf; those of NaN are above

// FromHalf returns the number of half precision (F16) with those bits.
func FromHalf(h uint16) float32 {
	bits := uint32(h)
	sign, rest := bits&0x8000<<16, bits&0x7fff<<13
	if rest >= 0x7c00<<13 { // infinite or not a number
		return math.Float32frombits(sign | infinite | rest)
	}
	// The exponents' biases differ by 112; the product is exact, subnormals too.
	return math.Float32frombits(sign | math.Float32bits(math.Float32frombits(rest)*0x1p112))
}

// ToHalf rounds to the nearest number of half precision, ties to even, as
// VCVTPS2PH does. What is too big becomes infinite.
func ToHalf(x float32) uint16 {
	b := math.Float32bits(x)
	sign, b := uint16(b>>16&0x8000), b&^(1<<31)
	switch {
	case b > infinite: // not a number: quiet, with the top of its payload
		return sign | 0x7e00 | uint16(b>>13&0x1ff)
	case b >= 0x477ff000: // 65520, halfway to the number behind the greatest
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14: a multiple of 2^-24
		// The sum's last bit stands for 2^-24, so that the addition rounds.
		const unit = 0.5
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+unit)-math.Float32bits(unit))
	}
	b -= 112 << 23                 // the difference of the exponents' biases
	b += 1<<12 - 1 + (b >> 13 & 1) // a carry into the exponent is right
	return sign | uint16(b>>13)
}

// ToBF16 rounds a number to the nearest of 16 bits with the exponents of f32 (BF16), ties to even.
// What is no number may become infinite.
func ToBF16(x float32) uint16 {
	b := math.Float32bits(x)
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
