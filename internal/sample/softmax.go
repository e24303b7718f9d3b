package sample

import "math"

// LogSumExp returns log Σ exp(logits), summed in float64 in the order of the
// logits.
func LogSumExp(logits []float32) float64 {
	top := math.Inf(-1)
	for _, l := range logits {
		top = max(top, float64(l))
	}
	if math.IsInf(top, -1) {
		return top
	}
	var sum float64
	for _, l := range logits {
		sum += exp(float64(l) - top)
	}
	return top + math.Log(sum)
}

// LogSoftmax sets dst to the natural logarithms of the probabilities; dst may
// be logits.
func LogSoftmax(dst, logits []float32) {
	norm := LogSumExp(logits)
	for i, l := range logits {
		dst[i] = float32(float64(l) - norm)
	}
}

// Mix sets dst to the logarithms of the mixture Σ_b weights[b]·softmax(branches[b]),
// summed in float64 in the order of the branches. Weights sum to 1. dst may be
// one of the branches.
func Mix(dst []float32, branches [][]float32, weights []float64) {
	var few [8]float64 // keeps the usual case off the heap
	offsets := few[:0]
	for b, logits := range branches {
		offsets = append(offsets, math.Log(weights[b])-LogSumExp(logits))
	}
	for i := range dst {
		var p float64
		for b, logits := range branches {
			p += exp(float64(logits[i]) + offsets[b])
		}
		dst[i] = float32(math.Log(p))
	}
}

// exp returns e^x for x ≤ 0, or a little above, and 0 for no number. math.Exp
// is another routine on each kind of processor; here every rounding is fixed, so
// that a seed means the same tokens everywhere.
func exp(x float64) float64 {
	const (
		log2e = 1.44269504088896338700e+00
		ln2Hi = 6.93147180369123816490e-01 // its low 32 bits are zero
		ln2Lo = 1.90821492927058770002e-10
	)
	if !(x > -708) { // e^-708 is about the least normal number
		return 0
	}
	k := math.Floor(math.FMA(x, log2e, 0.5))
	r := math.FMA(-k, ln2Lo, math.FMA(-k, ln2Hi, x)) // |r| ≤ ln2/2
	y := 0.0
	for _, c := range &taylor {
		y = math.FMA(y, r, c)
	}
	return y * math.Float64frombits(uint64(int64(k)+1023)<<52)
}

// taylor holds 1/13!, 1/12! … 1/0!: the next term is below the last bit.
var taylor = [...]float64{
	1. / 6227020800, 1. / 479001600, 1. / 39916800, 1. / 3628800, 1. / 362880, 1. / 40320, 1. / 5040,
	1. / 720, 1. / 120, 1. / 24, 1. / 6, 1. / 2, 1, 1,
}
