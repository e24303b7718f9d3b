package nn

import "math"

// Rope holds the rotary frequencies of a model. Angles are computed in f32 as
// the reference implementations do, so a position gives the same bits wherever
// it is used; negative positions turn the other way.
type Rope struct {
	inv []float32 // [headDim/2]
}

// NewRope returns the frequencies base^(-2i/headDim), each divided by its factor
// where factors are given (Llama 3.1's long-context scaling).
func NewRope(base float64, headDim int, factors []float32) Rope {
	inv := make([]float32, headDim/2)
	for i := range inv {
		f := float32(2*i) / float32(headDim)
		inv[i] = 1 / float32(math.Pow(base, float64(f)))
		if factors != nil {
			inv[i] /= factors[i]
		}
	}
	return Rope{inv}
}

// Angles writes the cosines and sines of a position, headDim/2 of each.
func (r Rope) Angles(cos, sin []float32, position int) {
	for i, f := range r.inv {
		s, c := math.Sincos(float64(float32(position) * f))
		cos[i], sin[i] = float32(c), float32(s)
	}
}
