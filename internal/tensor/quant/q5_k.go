package quant

// Scales, minimums and nibbles stand as in Q4_K; bit r of byte j of the 32 in front of
// the nibbles is the fifth of weight j of run r.
func decodeQ5_K(dst []float32, b []byte) {
	d, dmin := half(b), half(b[2:])
	scales, high, quants := b[4:16], b[16:48], b[48:176]
	for i := range 8 {
		sc, m := ScaleMin(scales, i)
		step, low := d*float32(sc), dmin*float32(m)
		shift := 4 * (i & 1)
		for j, q := range quants[i/2*32:][:32] {
			value := q>>shift&15 | high[j]>>i&1<<4
			dst[i*32+j] = float32(step*float32(value)) - low
		}
	}
}
