package kernel

import (
	"math"
	"testing"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// types are all storage types.
var types = func() (all []tensor.Type) {
	for t := tensor.Invalid + 1; t < tensor.Types; t++ {
		all = append(all, t)
	}
	return all
}()

// sameBits fails the test at the first element whose bits differ; all numbers
// that are none are the same.
func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if math.Float32bits(g) != math.Float32bits(w) && !(g != g && w != w) {
			t.Fatalf("%s: [%d] = %v (%08x), want %v (%08x)", what, i, g, math.Float32bits(g), w, math.Float32bits(w))
		}
	}
}
