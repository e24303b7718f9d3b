package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// TestHalves holds the plain conversions to the definition: every half, and
// around the middle of each two neighbours.
func TestHalves(t *testing.T) {
	value := func(h uint16) float64 { // sign, exponent, significand
		e, m := int(h>>10&31), float64(h&0x3ff)
		v := math.Ldexp(1024+m, e-25)
		if e == 0 {
			v = math.Ldexp(m, -24)
		}
		if h>>15 == 1 {
			v = -v
		}
		return v
	}
	for i := range 0x7c00 {
		for _, sign := range []uint16{0, 0x8000} {
			h := sign | uint16(i)
			v := float32(value(h))
			if got := tensor.FromHalf(h); bits(got) != bits(v) {
				t.Fatalf("%04x = %v, want %v", h, got, v)
			}
			if got := halfOf(v); got != h {
				t.Fatalf("%v becomes %04x, want %04x", v, got, h)
			}
			middle := float32(value(h)/2 + value(h+1)/2) // of the greatest and 2^16: both formulas hold
			even := h + h&1
			for _, c := range []struct {
				x    float32
				want uint16
			}{
				{middle, even},
				{math.Float32frombits(bits(middle) - 1), h},
				{math.Float32frombits(bits(middle) + 1), h + 1},
			} {
				if got := halfOf(c.x); got != c.want {
					t.Fatalf("%v becomes %04x, want %04x", c.x, got, c.want)
				}
			}
		}
	}
	for _, inf := range []int{1, -1} {
		x := float32(math.Inf(inf))
		if got := tensor.FromHalf(halfOf(x)); got != x {
			t.Errorf("%v becomes %v", x, got)
		}
	}
	if got := tensor.FromHalf(halfOf(float32(math.NaN()))); got == got {
		t.Errorf("NaN becomes %v", got)
	}
}

// checkHalves holds the conversions of a set to the bits of the plain ones. Where
// something is no number, only that it stays so.
func checkHalves(set *Set, rng *rand.Rand) error {
	n := size(rng, 70)
	x := mem[0].floats(n)
	for i := range x {
		switch rng.IntN(4) {
		case 0:
			x[i] = math.Float32frombits(rng.Uint32()) // anything
		case 1:
			x[i] = tensor.FromHalf(uint16(rng.Uint32())) + float32(rng.IntN(3)-1)*0x1p-25
		default:
			x[i] = float32(rng.NormFloat64() * 10)
		}
	}
	halves := asUint16(mem[1].bytes(2 * n))
	set.ToHalf(halves, x)
	for i, v := range x {
		if want := halfOf(v); halves[i] != want && (v == v || tensor.FromHalf(halves[i]) == tensor.FromHalf(halves[i])) {
			return fmt.Errorf("n=%d: %v becomes %04x, want %04x", n, v, halves[i], want)
		}
	}
	for i := range halves {
		halves[i] = uint16(rng.Uint32())
	}
	set.FromHalf(x, halves)
	for i, h := range halves {
		if want := tensor.FromHalf(h); !sameBit(x[i], want) {
			return fmt.Errorf("n=%d: %04x = %v, want %v", n, h, x[i], want)
		}
	}
	return nil
}
