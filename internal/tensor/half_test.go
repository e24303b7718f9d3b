package tensor

import (
	"math"
	"testing"
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
			if got := FromHalf(h); math.Float32bits(got) != math.Float32bits(v) {
				t.Fatalf("%04x = %v, want %v", h, got, v)
			}
			if got := ToHalf(v); got != h {
				t.Fatalf("%v becomes %04x, want %04x", v, got, h)
			}
			middle := float32(value(h)/2 + value(h+1)/2) // of the greatest and 2^16: both formulas hold
			even := h + h&1
			for _, c := range []struct {
				x    float32
				want uint16
			}{
				{middle, even},
				{math.Float32frombits(math.Float32bits(middle) - 1), h},
				{math.Float32frombits(math.Float32bits(middle) + 1), h + 1},
			} {
				if got := ToHalf(c.x); got != c.want {
					t.Fatalf("%v becomes %04x, want %04x", c.x, got, c.want)
				}
			}
		}
	}
	for _, inf := range []int{1, -1} {
		x := float32(math.Inf(inf))
		if got := FromHalf(ToHalf(x)); got != x {
			t.Errorf("%v becomes %v", x, got)
		}
	}
	if got := FromHalf(ToHalf(float32(math.NaN()))); got == got {
		t.Errorf("NaN becomes %v", got)
	}
}

// TestToBF16 rounds to the nearer of two neighbours, ties to the even one.
func TestToBF16(t *testing.T) {
	for x, want := range map[float32]uint16{
		0: 0, 1: 0x3f80, -2.5: 0xc020, 1 + 0x1p-8: 0x3f80, 1 + 0x1p-8 + 0x1p-20: 0x3f81, 1 + 3*0x1p-8: 0x3f82, 0x1p-130: 0x0008,
	} {
		if got := ToBF16(x); got != want {
			t.Errorf("%v becomes %#04x, want %#04x", x, got, want)
		}
	}
}
