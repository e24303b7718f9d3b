package model

import (
	"slices"
	"testing"
)

// TestRowOrder checks heads of width 4 by hand: GGUF row 2i+b is Hugging Face's row
// 2b+i.
func TestRowOrder(t *testing.T) {
	paired, plain := Spec{Paired: 4}, Spec{}
	if got := paired.FromHuggingFace([]float32{0, 1, 2, 3}, 1); !slices.Equal(got, []float32{0, 2, 1, 3}) {
		t.Errorf("one head: %v", got)
	}
	theirs := []float32{0, 1, 2, 3, 4, 5, 6, 7}
	if got := paired.ToHuggingFace(paired.FromHuggingFace(theirs, 1), 1); !slices.Equal(got, theirs) {
		t.Errorf("there and back: %v", got)
	}
	if got := plain.FromHuggingFace(theirs, 1); !slices.Equal(got, theirs) {
		t.Errorf("not paired: %v", got)
	}
}
