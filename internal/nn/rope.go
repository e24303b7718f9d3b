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

// Turns keeps the angles of positions that were asked for: those of a text are asked for again
// and again, and sixty-four cosines and sines take longer than all else that the host does for a
// row. It is not safe for concurrent use.
type Turns struct {
	Rope
	kept [][]float32 // of blocks of positions: [keptBlock][2][pairs], NaN where nobody asked yet
	room []float32   // of a position that is not kept
}

// Positions are kept in blocks, of texts of up to so many tokens: at most 16 MB of heads of 128.
const (
	keptBlock = 64
	mostKept  = 1 << 15
)

// Angles returns the cosines and sines of a position, one of each for a pair, until the next call.
func (t *Turns) Angles(position int) (cos, sin []float32) {
	pairs := t.Pairs()
	if position < 0 || position >= mostKept {
		if t.room == nil {
			t.room = make([]float32, 2*pairs)
		}
		cos, sin = t.room[:pairs], t.room[pairs:]
		t.Rope.Angles(cos, sin, position)
		return cos, sin
	}
	block, at := position/keptBlock, position%keptBlock*2*pairs
	if block >= len(t.kept) {
		t.kept = append(t.kept, make([][]float32, block+1-len(t.kept))...)
	}
	if t.kept[block] == nil {
		t.kept[block] = make([]float32, keptBlock*2*pairs)
		for i := 0; pairs > 0 && i < keptBlock; i++ {
			t.kept[block][i*2*pairs] = float32(math.NaN())
		}
	}
	here := t.kept[block][at : at+2*pairs]
	cos, sin = here[:pairs], here[pairs:]
	if pairs > 0 && cos[0] != cos[0] {
		t.Rope.Angles(cos, sin, position)
	}
	return cos, sin
}
