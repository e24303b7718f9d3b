// Package bench measures the run time of the engine and of the retrieval loop,
// against another server too, and computes what a stride costs a model of any
// shape.
//
// Figures are medians of several rounds. Real text is used throughout: what a
// stride costs does not depend on it, but what a server's prompt cache or a
// kept passage saves does.
package bench

import "slices"

// spread is the middle and the ends of some measurements.
type spread struct{ median, min, max float64 }

func spreadOf(values []float64) spread {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return spread{median: (v[(n-1)/2] + v[n/2]) / 2, min: v[0], max: v[n-1]}
}
