package backward

import (
	"math"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/model"
)

func TestDropout(t *testing.T) {
	const width, rows = 576, 500
	drop := Dropout{P: 0.05, Seed: 9}
	zeros := 0
	row, other := make([]float32, width), make([]float32, width)
	for r := range rows {
		drop.factors(row, 3, model.V, r)
		for _, v := range row {
			if v == 0 {
				zeros++
			} else if v != float32(1/0.95) {
				t.Fatalf("factor %v", v)
			}
		}
	}
	// Five standard deviations of a binomial share.
	if share := float64(zeros) / (width * rows); math.Abs(share-drop.P) > 5*math.Sqrt(0.05*0.95/(width*rows)) {
		t.Errorf("%v of the entries are dropped, %v asked for", share, drop.P)
	}
	drop.factors(row, 3, model.V, 7)
	for name, f := range map[string]func(){
		"seed":   func() { Dropout{P: 0.05, Seed: 10}.factors(other, 3, model.V, 7) },
		"layer":  func() { drop.factors(other, 4, model.V, 7) },
		"target": func() { drop.factors(other, 3, model.Q, 7) },
		"row":    func() { drop.factors(other, 3, model.V, 8) },
	} {
		if f(); slices.Equal(row, other) {
			t.Errorf("the %s does not matter", name)
		}
	}
	if drop.factors(other, 3, model.V, 7); !slices.Equal(row, other) {
		t.Error("the same row is dropped differently")
	}
}
