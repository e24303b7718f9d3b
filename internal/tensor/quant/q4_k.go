package quant

func decodeQ4_K(dst []float32, b []byte) {
	d, dmin := half(b), half(b[2:])
	scales, quants := b[4:16], b[16:144]
	for i := range 8 {
		sc, m := ScaleMin(scales, i)
		step, low := d*float32(sc), dmin*float32(m)
		shift := 4 * (i & 1) // two runs of 32 share 32 bytes
		for j, q := range quants[i/2*32:][:32] {
			dst[i*32+j] = float32(step*float32(q>>shift&15)) - low
		}
	}
}

// ScaleMin unpacks the 6-bit scale and minimum of run i of the 8 in a block of Q4_K,
// from its 12 bytes of them: the first four stand in the low bits of bytes 0–7; of the
// last four, bytes 8–11 hold the low nibbles and the top bits of bytes 0–7 the rest.
func ScaleMin(s []byte, i int) (scale, min byte) {
	if i < 4 {
		return s[i] & 63, s[i+4] & 63
	}
	return s[i+4]&15 | s[i-4]>>6<<4, s[i+4]>>4 | s[i]>>6<<4
}
