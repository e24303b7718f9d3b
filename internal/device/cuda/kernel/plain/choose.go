package plain

import (
	"cmp"
	"math"
	"slices"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver/fake"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel"
)

func choose(c *fake.Card, p *kernel.Choose) {
	choices := fake.Of[kernel.Choice](c, p.Choices, int(p.Rows))
	tokens, finite := fake.Of[int32](c, p.Tokens, int(p.Rows)), fake.Of[int32](c, p.Finite, int(p.Rows))
	for r := range int(p.Rows) {
		logits := read(c, p.Logits, r, int(p.Stride), int(p.Vocab), 0)
		finite[r] = 1
		for _, l := range logits {
			if math.IsNaN(float64(l)) || math.IsInf(float64(l), 0) {
				finite[r] = 0
			}
		}
		tokens[r] = choice(&choices[r], logits)
	}
}

// choice filters by top-k, top-p and min-p, and draws at the temperature.
func choice(o *kernel.Choice, logits []float32) int32 {
	order := make([]int32, len(logits))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(logits[b], logits[a]) })
	if o.Temperature == 0 {
		return order[0]
	}
	top := float64(logits[order[0]])
	if o.TopK > 0 {
		order = order[:min(int(o.TopK), len(order))]
	}
	weight := func(id int32, temperature float64) float64 {
		return math.Exp((float64(logits[id]) - top) / temperature)
	}
	mass := 0.0
	for _, id := range order {
		mass += weight(id, 1)
	}
	enough := math.Inf(1)
	if o.TopP > 0 && o.TopP < 1 {
		enough = float64(o.TopP) * mass
	}
	n, sum := 0, 0.0
	for ; n < len(order); n++ {
		w := weight(order[n], 1)
		if n > 0 && (sum >= enough || w < float64(o.MinP)) {
			break
		}
		sum += w
	}
	order = order[:n]
	all := 0.0
	for _, id := range order {
		all += weight(id, float64(o.Temperature))
	}
	left := float64(o.Uniform) * all
	for _, id := range order {
		if left -= weight(id, float64(o.Temperature)); left < 0 {
			return id
		}
	}
	return order[len(order)-1]
}
