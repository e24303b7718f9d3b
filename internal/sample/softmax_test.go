package sample

import (
	"math"
	"testing"
)

// TestExp holds exp to math.Exp within one unit of the last place of either.
func TestExp(t *testing.T) {
	for x := -700.0; x < .01; x += .0137 {
		got, want := exp(x), math.Exp(x)
		if math.Abs(got-want) > 4e-16*want {
			t.Fatalf("exp(%v) = %v, want %v", x, got, want)
		}
	}
	for x, want := range map[float64]float64{0: 1, -1000: 0, math.Inf(-1): 0, math.NaN(): 0} {
		if got := exp(x); got != want {
			t.Errorf("exp(%v) = %v, want %v", x, got, want)
		}
	}
}

func TestLogSoftmax(t *testing.T) {
	logits := []float32{1000, 1001, 999, float32(math.Inf(-1))}
	got := make([]float32, 4)
	LogSoftmax(got, logits)
	norm := math.Log(1 + math.E + 1/math.E)
	for i, want := range []float64{-norm, 1 - norm, -1 - norm, math.Inf(-1)} {
		if !near(float64(got[i]), want, 1e-6) { // rounding to float32
			t.Errorf("[%d] = %v, want %v", i, got[i], want)
		}
	}
}

// TestMix compares with the mixture written out in probabilities; 1e-6 is
// rounding to float32.
func TestMix(t *testing.T) {
	inf := float32(math.Inf(1))
	branches := [][]float32{{0, 1, 2, -inf}, {500, 498, 497, -inf}, {-3, -3, -3, 200}}
	weights := []float64{.5, .3, .2}
	got := make([]float32, 4)
	Mix(got, branches, weights)
	for i := range got {
		var p float64
		for b, logits := range branches {
			var sum float64
			for _, l := range logits {
				sum += math.Exp(float64(l - logits[i]))
			}
			if !math.IsInf(float64(logits[i]), -1) {
				p += weights[b] / sum
			}
		}
		if !near(float64(got[i]), math.Log(p), 1e-6) {
			t.Errorf("[%d] = %v, want %v", i, got[i], math.Log(p))
		}
	}
	// One branch is its softmax, a branch without weight does not count, and the
	// result may replace a branch.
	alone := make([]float32, 4)
	LogSoftmax(alone, branches[1])
	Mix(branches[0], branches, []float64{0, 1, 0})
	for i := range alone {
		if !near(float64(branches[0][i]), float64(alone[i]), 1e-6) {
			t.Errorf("[%d] = %v, want %v", i, branches[0][i], alone[i])
		}
	}
}

func near(a, b, tolerance float64) bool { return a == b || math.Abs(a-b) <= tolerance }
