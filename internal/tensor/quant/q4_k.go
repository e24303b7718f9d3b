package quant

import "math"

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

// encodeQ4_K fits a scale and a minimum to each run of 32, rounds these to 6 bits of the
// block's greatest, and the weights to what they then stand for.
func encodeQ4_K(b []byte, weights []float32) {
	var scales, mins [8]float32
	var mostScale, mostMin float32
	for i := range scales {
		scales[i], mins[i] = fitRun(weights[i*32 : (i+1)*32])
		mostScale, mostMin = max(mostScale, scales[i]), max(mostMin, mins[i])
	}
	putHalf(b, mostScale/63)
	putHalf(b[2:], mostMin/63)
	d, dmin := half(b), half(b[2:])
	clear(b[4:16])
	for i := range scales {
		sc := sixBits(scales[i] * inverse(mostScale/63))
		m := sixBits(mins[i] * inverse(mostMin/63))
		putScaleMin(b[4:16], i, sc, m)
		step, low := d*float32(sc), dmin*float32(m)
		run := b[16+i/2*32:][:32]
		for j, w := range weights[i*32 : (i+1)*32] {
			code := byte(min(15, max(0, math.RoundToEven(float64((w+low)*inverse(step))))))
			if i%2 == 0 {
				run[j] = code
			} else {
				run[j] |= code << 4
			}
		}
	}
}

func sixBits(x float32) byte { return byte(min(63, max(0, math.RoundToEven(float64(x))))) }

// putScaleMin writes what ScaleMin reads into bytes that were 0.
func putScaleMin(s []byte, i int, scale, low byte) {
	if i < 4 {
		s[i] |= scale
		s[i+4] |= low
		return
	}
	s[i+4] = scale&15 | low&15<<4
	s[i-4] |= scale >> 4 << 6
	s[i] |= low >> 4 << 6
}

// fitRun returns a scale and a minimum, neither negative, for which scale·code - min with
// codes from 0 to 15 is near 32 weights. Great weights count more. Of several steps around
// that which the range asks for, each with its codes, the one is taken whose best scale and
// minimum, by least squares, leave the least error.
func fitRun(weights []float32) (scale, low float32) {
	least, most := float32(0), weights[0] // zero must be among what it stands for
	var squares float64
	for _, w := range weights {
		least, most = min(least, w), max(most, w)
		squares += float64(w) * float64(w)
	}
	if most <= least {
		return 0, -least
	}
	typical := math.Sqrt(squares / float64(len(weights)))
	scale, low = (most-least)/15, -least
	best := math.Inf(1)
	for try := range 21 {
		inverse := (14 + 0.1*float64(try)) / float64(most-least)
		var sum, sumX, sumXX, sumW, sumWX float64 // Σ weight, · code, · code², · w, · w · code
		var codes [32]float64
		for i, w := range weights {
			x := min(15, max(0, math.RoundToEven(inverse*float64(w-least))))
			weight := typical + math.Abs(float64(w))
			codes[i] = x
			sum, sumX, sumXX = sum+weight, sumX+weight*x, sumXX+weight*x*x
			sumW, sumWX = sumW+weight*float64(w), sumWX+weight*float64(w)*x
		}
		det := sum*sumXX - sumX*sumX
		if det <= 0 {
			continue
		}
		s, m := (sum*sumWX-sumX*sumW)/det, (sumX*sumWX-sumXX*sumW)/det
		if m < 0 {
			s, m = sumWX/sumXX, 0
		}
		var miss float64
		for i, w := range weights {
			d := s*codes[i] - m - float64(w)
			miss += (typical + math.Abs(float64(w))) * d * d
		}
		if miss < best {
			best, scale, low = miss, float32(s), float32(m)
		}
	}
	return scale, low
}
