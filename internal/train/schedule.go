package train

import (
	"fmt"
	"math"
)

// Schedules are the names of the learning rate's schedules.
var Schedules = []string{"cosine", "linear"}

// schedule returns which part of the peak learning rate the step takes, counted
// from 0, with transformers' get_cosine_schedule_with_warmup and
// get_linear_schedule_with_warmup: a line up to the peak over the warm-up's steps,
// then half a cosine or a line down to 0.
func schedule(name string, warmup, steps int) (func(step int) float64, error) {
	var fall func(done float64) float64
	switch name {
	case "cosine":
		fall = func(done float64) float64 { return max(0, 0.5*(1+math.Cos(math.Pi*done))) }
	case "linear":
		fall = func(done float64) float64 { return max(0, 1-done) }
	default:
		return nil, fmt.Errorf("unknown schedule %q: use cosine or linear", name)
	}
	return func(step int) float64 {
		if step < warmup {
			return float64(step) / float64(warmup)
		}
		return fall(float64(step-warmup) / float64(max(1, steps-warmup)))
	}, nil
}

// warmupSteps is how many steps a share of them is, rounded up as transformers'
// trainer rounds.
func warmupSteps(share float64, steps int) int {
	return int(math.Ceil(share * float64(steps)))
}
