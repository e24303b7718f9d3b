// Package bench measures the run time of the engine and of the retrieval loop,
// against another server too, and computes what a stride costs a model of any
// shape.
//
// Figures are medians of several rounds. Real text is used throughout: what a
// stride costs does not depend on it, but what a server's prompt cache or a
// kept passage saves does.
package bench

import (
	"slices"

	"github.com/flashback-lm/flashback/internal/sample"
)

// greedy returns a pick of the likeliest token that never ends a stride, so
// that every stride has its full length.
func greedy() func(logits []float32) (int32, bool) {
	s := sample.Greedy()
	return func(logits []float32) (int32, bool) { return s.Sample(logits, nil), false }
}

// spread is the middle and the ends of some measurements.
type spread struct{ median, min, max float64 }

func spreadOf(values []float64) spread {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return spread{median: (v[(n-1)/2] + v[n/2]) / 2, min: v[0], max: v[n-1]}
}
