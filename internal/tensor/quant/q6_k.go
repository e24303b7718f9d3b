package quant

func decodeQ6_K(dst []float32, b []byte) {
	low, high, scales, d := b[:128], b[128:192], b[192:208], half(b[208:])
	for i := range dst { // 256
		part, in := i/128, i%128
		// A half of the block: 4 runs of 32, whose low nibbles share 64 bytes
		// and whose high pairs share 32.
		run, j := in/32, in%32
		l := low[part*64+run%2*32+j] >> (run / 2 * 4) & 15
		h := high[part*32+j] >> (2 * run) & 3
		step := d * float32(int8(scales[i/16]))
		dst[i] = step * float32(int(l|h<<4)-32)
	}
}
