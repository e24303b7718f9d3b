package quant

// NonLinear are the values that nibbles of IQ4_NL and IQ4_XS stand for (kvalues_iq4nl of
// ggml-common.h).
var NonLinear = [16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

// Nibbles stand as in Q4_0.
func decodeIQ4_NL(dst []float32, b []byte) {
	d := half(b)
	for i, q := range b[2:18] {
		dst[i] = d * float32(NonLinear[q&15])
		dst[i+16] = d * float32(NonLinear[q>>4])
	}
}
