package nn

import (
	"math"

	"github.com/flashback-lm/flashback/internal/model"
)

// Rope holds rotary frequencies. Angles are computed in f32 as the reference
// implementations do, so a position gives the same bits wherever it is used; negative
// positions turn the other way.
type Rope struct {
	inv   []float32 // [pairs]
	scale float32
}

// NewRope returns the frequencies of a rotation.
func NewRope(r model.Rope) Rope {
	inv := make([]float32, r.Rotated/2)
	for i := range inv {
		f := float32(2*i) / float32(r.Rotated)
		inv[i] = 1 / float32(math.Pow(r.Base, float64(f)))
		if r.Factors != nil {
			inv[i] /= r.Factors[i]
		}
	}
	return Rope{inv, r.Scale}
}

// Pairs returns how many pairs of a head's elements are turned.
func (r Rope) Pairs() int { return len(r.inv) }

// Angles writes the cosines and sines of a position, one of each for a pair.
func (r Rope) Angles(cos, sin []float32, position int) {
	for i, f := range r.inv {
		s, c := math.Sincos(float64(float32(position) * f))
		cos[i], sin[i] = float32(c)*r.scale, float32(s)*r.scale
	}
}
