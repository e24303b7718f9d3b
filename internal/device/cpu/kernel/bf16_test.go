//go:build amd64

package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/cpuid/v2"
)

func fromBF16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// TestBF16Of holds the plain rounding to the definition, around each number of bf16
// and around the middle of each two.
func TestBF16Of(t *testing.T) {
	for i := uint32(0x80); i < 0x7f7f; i++ { // the normal numbers
		for _, sign := range []uint32{0, 0x8000} {
			h := uint16(i | sign)
			middle := math.Float32frombits(uint32(h)<<16 | 0x8000)
			for _, c := range []struct {
				x    float32
				want uint16
			}{
				{fromBF16(h), h},
				{middle, h + h&1},
				{math.Float32frombits(bits(middle) - 1), h},
				{math.Float32frombits(bits(middle) + 1), h + 1},
			} {
				if got := bf16Of(c.x); got != c.want {
					t.Fatalf("%v becomes %04x, want %04x", c.x, got, c.want)
				}
			}
		}
	}
}

// TestToBF16 compares with the plain rounding, which it must equal to the bit.
func TestToBF16(t *testing.T) {
	if !cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BF16) {
		t.Skip("this processor does not round to bf16")
	}
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, 4096+7)
	for i := range x {
		x[i] = math.Float32frombits(r.Uint32()) // infinities and no numbers among them
	}
	x[0], x[1], x[2] = float32(math.Inf(-1)), math.Float32frombits(0x7fffffff), math.MaxFloat32
	for _, n := range []int{0, 1, 15, 16, 17, len(x)} {
		got := make([]uint16, n+1)
		toBF16(got, x[:n])
		for i, v := range x[:n] {
			if want := bf16Of(v); got[i] != want {
				t.Fatalf("%v (%08x) becomes %04x, want %04x", v, bits(v), got[i], want)
			}
		}
		if got[n] != 0 {
			t.Error("wrote behind the end")
		}
	}
}
