package backward

import (
	"math"

	"github.com/flashback-lm/flashback/internal/model"
)

// Dropout zeroes entries of the input of a factor with probability P and multiplies
// the others by 1/(1-P). What it zeroes is a function of the seed, the layer, the
// target, the row and the column only: it has no state, and the threads do not
// matter. Gradients of one step want one seed, and each step another.
type Dropout struct {
	P    float64 // rounded to multiples of 2⁻¹⁶; 0: no dropout
	Seed uint64
}

// factors writes what the entries of a row are multiplied by, 0 or 1/(1-P).
func (p Dropout) factors(dst []float32, layer int, t model.Role, row int) {
	keep := float32(1 / (1 - p.P))
	limit := uint64(math.Round(p.P * (1 << 16)))
	state := Mix(Mix(p.Seed+uint64(layer)) + uint64(t)<<32 + uint64(row))
	for len(dst) > 0 {
		state += 0x9e3779b97f4a7c15 // SplitMix64 (Steele, Lea and Flood 2014)
		bits := Mix(state)
		n := min(4, len(dst))
		for i := range dst[:n] {
			dst[i] = keep
			if bits>>(16*i)&0xffff < limit {
				dst[i] = 0
			}
		}
		dst = dst[n:]
	}
}

// Mix is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
func Mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
