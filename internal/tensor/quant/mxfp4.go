package quant

import "math"

// mxfp4 are the numbers that nibbles stand for, doubled: sign, two bits of exponent, one
// of mantissa (Open Compute Project, Microscaling Formats 1.0).
var mxfp4 = [16]float32{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}

// Nibbles stand as in Q4_0, behind a byte that is the exponent of their scale.
func decodeMXFP4(dst []float32, b []byte) {
	d := float32(math.Ldexp(1, int(b[0])-128)) // half of it, as the numbers are doubled
	for i, q := range b[1:17] {
		dst[i] = d * mxfp4[q&15]
		dst[i+16] = d * mxfp4[q>>4]
	}
}
