package oracle

import (
	"context"
	"math"

	"github.com/flashback-lm/flashback/internal/model"
)

// forward returns the logits [last][vocabulary] of the last tokens.
func forward(ctx context.Context, w *model.Weights, f *flat, last int) ([][]float32, error) {
	c := w.Config
	x := gather(w.Embedding, f.tokens) // [tokens, hidden]
	for _, l := range w.Layers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h := normed(x, l.AttnNorm, c.NormEps)
		q, k, v := linear(h, l.Q), linear(h, l.K), linear(h, l.V)
		rotate(q, f.positions, c)
		rotate(k, f.positions, c)
		add(x, linear(attend(q, k, v, f.sees, c), l.O))

		h = normed(x, l.FFNorm, c.NormEps)
		gate, up := linear(h, l.Gate), linear(h, l.Up)
		for i, row := range gate {
			for j, g := range row {
				row[j] = g / (1 + float32(math.Exp(float64(-g)))) * up[i][j]
			}
		}
		add(x, linear(gate, l.Down))
	}
	return linear(normed(x[len(x)-last:], w.OutputNorm, c.NormEps), w.Head), nil
}

// rotate turns the pairs (2i, 2i+1) of every head by position · base^(-2i/headDim),
// over the pair's factor if the model has factors.
func rotate(x [][]float32, positions []int, c model.Config) {
	for t, row := range x {
		for i := 0; i < c.HeadDim; i += 2 {
			frequency := math.Pow(c.RopeBase, -float64(i)/float64(c.HeadDim))
			if c.RopeFactors != nil {
				frequency /= float64(c.RopeFactors[i/2])
			}
			sin, cos := math.Sincos(float64(positions[t]) * frequency)
			for at := i; at < len(row); at += c.HeadDim {
				a, b := float64(row[at]), float64(row[at+1])
				row[at], row[at+1] = float32(a*cos-b*sin), float32(a*sin+b*cos)
			}
		}
	}
}

// attend returns the attention [tokens, heads·headDim] under the mask.
func attend(q, k, v [][]float32, sees [][]bool, c model.Config) [][]float32 {
	out := matrix(len(q), c.Heads*c.HeadDim)
	scale := 1 / math.Sqrt(float64(c.HeadDim))
	parallel(len(q), func(t int) {
		weights := make([]float32, len(k))
		for head := range c.Heads {
			at, kv := head*c.HeadDim, head/(c.Heads/c.KVHeads)*c.HeadDim
			query := q[t][at : at+c.HeadDim]
			top := math.Inf(-1)
			for s := range k {
				if sees[t][s] {
					weights[s] = float32(scale * float64(dot(query, k[s][kv:kv+c.HeadDim])))
					top = max(top, float64(weights[s]))
				}
			}
			var sum float64
			for s := range k {
				if sees[t][s] {
					p := math.Exp(float64(weights[s]) - top)
					weights[s] = float32(p)
					sum += p
				}
			}
			result := out[t][at : at+c.HeadDim]
			for s := range v {
				if sees[t][s] {
					p, value := weights[s], v[s][kv:kv+c.HeadDim]
					for d := range result {
						result[d] += p * value[d]
					}
				}
			}
			for d := range result {
				result[d] = float32(float64(result[d]) / sum)
			}
		}
	})
	return out
}
