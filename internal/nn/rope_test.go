package nn_test

import (
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/nn"
)

// TestTurns asks for angles again and again, in any order: they are those of the position.
func TestTurns(t *testing.T) {
	for _, rotated := range []int{0, 2, 128} {
		rope := nn.NewRope(model.Rope{Rotated: rotated, Base: 10000, Scale: 1})
		turns := nn.Turns{Rope: rope}
		cos, sin := make([]float32, rotated/2), make([]float32, rotated/2)
		for range 2 {
			for _, position := range []int{0, 63, 64, 5000, 1, -130, 1<<15 - 1, 1 << 15, 1 << 20, 5000} {
				rope.Angles(cos, sin, position)
				if c, s := turns.Angles(position); !slices.Equal(c, cos) || !slices.Equal(s, sin) {
					t.Errorf("%d pairs, position %d: other angles", rotated/2, position)
				}
			}
		}
	}
}

// BenchmarkTurns compares angles that are kept with those that are made.
func BenchmarkTurns(b *testing.B) {
	rope := nn.NewRope(model.Rope{Rotated: 128, Base: 10000, Scale: 1})
	b.Run("made", func(b *testing.B) {
		cos, sin := make([]float32, 64), make([]float32, 64)
		for i := 0; b.Loop(); i++ {
			rope.Angles(cos, sin, i%4096)
		}
	})
	b.Run("kept", func(b *testing.B) {
		turns := nn.Turns{Rope: rope}
		for i := 0; b.Loop(); i++ {
			turns.Angles(i % 4096)
		}
	})
}
