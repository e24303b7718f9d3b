package quant

// A run of 16 weights has a byte of scale and minimum, 4 bits each. A half of the block
// is 4 runs of 32 that share 32 bytes, two bits each.
func decodeQ2_K(dst []float32, b []byte) {
	scales, quants, d, dmin := b[:16], b[16:80], half(b[80:]), half(b[82:])
	for run, s := range scales {
		step, low := d*float32(s&15), dmin*float32(s>>4)
		shift := run / 2 % 4 * 2
		from := quants[run/8*32+run%2*16:]
		for j, q := range from[:16] {
			dst[run*16+j] = float32(step*float32(q>>shift&3)) - low
		}
	}
}
