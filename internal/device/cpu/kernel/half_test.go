package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/flashback-lm/flashback/internal/tensor"
)

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
		if want := tensor.ToHalf(v); halves[i] != want && (v == v || tensor.FromHalf(halves[i]) == tensor.FromHalf(halves[i])) {
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
