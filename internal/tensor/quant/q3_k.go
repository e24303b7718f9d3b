package quant

// Low pairs of bits stand as in Q2_K. Bit r of byte j of the mask in front of them is
// the third of weight j of the r-th run of 32; where it is 0, four is taken off.
func decodeQ3_K(dst []float32, b []byte) {
	mask, quants, scales, d := b[:32], b[32:96], b[96:108], half(b[108:])
	for run := range 16 {
		step := d * float32(int(scaleQ3_K(scales, run))-32)
		shift, column := run/2%4*2, run%2*16
		from := quants[run/8*32+column:]
		for j, q := range from[:16] {
			value := int(q>>shift&3) | int(mask[column+j]>>(run/2)&1)<<2
			dst[run*16+j] = step * float32(value-4)
		}
	}
}

// scaleQ3_K unpacks the 6-bit scale of one of 16 runs: its low nibble is in the first
// 8 bytes, the low nibbles of them for runs 0–7; its high pair in the last 4 bytes.
func scaleQ3_K(s []byte, run int) byte {
	return s[run%8]>>(run/8*4)&15 | s[8+run%4]>>(run/4*2)&3<<4
}
