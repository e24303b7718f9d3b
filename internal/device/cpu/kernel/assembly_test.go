//go:build amd64 || arm64

package kernel

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

// TestMatVecWithoutAssembly: a set reads formats that it has no assembly for.
func TestMatVecWithoutAssembly(t *testing.T) {
	set := *plain
	set.MatVec = matVecs{}.function(func(out *float32, ldo int, x *float32, ldx int, w *float32, ldw int, n, k int) {
		matMul(unsafe.Slice(out, n), ldo, unsafe.Slice(x, k), ldx, unsafe.Slice(w, n*k), ldw, 1, n, k)
	})
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		if err := checkMatVec(&set, rng); err != nil {
			t.Fatal(err)
		}
	}
}
