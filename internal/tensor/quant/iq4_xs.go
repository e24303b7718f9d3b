package quant

import "encoding/binary"

// 8 runs of 32, whose nibbles stand as in IQ4_NL, each with a scale of 6 bits: two of
// them in a number of 16 bits, four in a nibble.
func decodeIQ4_XS(dst []float32, b []byte) {
	d, high, low, quants := half(b), binary.LittleEndian.Uint16(b[2:]), b[4:8], b[8:136]
	for run := range 8 {
		scale := low[run/2]>>(run%2*4)&15 | byte(high>>(2*run)&3)<<4
		step := d * float32(int(scale)-32)
		for j, q := range quants[run*16:][:16] {
			dst[run*32+j] = step * float32(NonLinear[q&15])
			dst[run*32+j+16] = step * float32(NonLinear[q>>4])
		}
	}
}
