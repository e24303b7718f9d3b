package quant

import "encoding/binary"

// Bits stand as in Q5_0.
func decodeQ5_1(dst []float32, b []byte) {
	d, m, high := half(b), half(b[2:]), binary.LittleEndian.Uint32(b[4:])
	for i, q := range b[8:24] {
		dst[i] = float32(d*float32(fifth(q&15, high, i))) + m
		dst[i+16] = float32(d*float32(fifth(q>>4, high, i+16))) + m
	}
}
