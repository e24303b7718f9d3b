package sample

import "slices"

// Likely is a token and the natural logarithm of its probability.
type Likely struct {
	ID      int32   `json:"id"`
	Logprob float64 `json:"logprob"`
}

// Weigh returns the token with its log-probability, and the n likeliest with theirs, best
// first, the smaller id among equals. Probabilities are those that the model gives, before
// anything holds tokens back.
func Weigh(logits []float32, token int32, n int) (Likely, []Likely) {
	norm := LogSumExp(logits)
	best := make([]candidate, 0, n+1)
	for id, l := range logits {
		c := candidate{int32(id), finite(l)}
		if n == 0 || len(best) == n && !c.before(best[n-1]) {
			continue
		}
		at := len(best)
		for at > 0 && c.before(best[at-1]) {
			at--
		}
		best = slices.Insert(best, at, c)
		best = best[:min(n, len(best))]
	}
	likeliest := make([]Likely, len(best))
	for i, c := range best {
		likeliest[i] = Likely{c.id, float64(logits[c.id]) - norm}
	}
	return Likely{token, float64(logits[token]) - norm}, likeliest
}
