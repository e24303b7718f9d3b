package oracle

import (
	"context"
	"math"

	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// adapted returns the product of x with a stored matrix, and with the factor of the
// adapter where it applies to a token.
func adapted(x [][]float32, m tensor.Matrix, a *lora.Adapter, layer int, t model.Role, f *flat) [][]float32 {
	out := linear(x, m)
	if a == nil || a.Layers[layer][t] == nil {
		return out
	}
	l := a.Layers[layer][t]
	parallel(len(x), func(i int) {
		if a.Info.Activated && f.context[i] {
			return
		}
		for r := range l.Rank {
			low := l.Scale * dot(x[i], l.A[r*l.In:(r+1)*l.In])
			for j := range out[i] {
				out[i][j] += low * l.B[j*l.Rank+r]
			}
		}
	})
	return out
}

// embed returns the embeddings of the tokens, the adapter's where it has one.
func embed(w *model.Weights, a *lora.Adapter, f *flat) [][]float32 {
	if a == nil {
		return gather(w.Tensors[model.Embedding], f.tokens)
	}
	x := matrix(len(f.tokens), w.Config.Hidden)
	for i, t := range f.tokens {
		row := a.Row(t)
		if row == nil || a.Info.Activated && f.context[i] {
			row = expand(w.Tensors[model.Embedding], int(t), int(t)+1)[0]
		}
		copy(x[i], row)
	}
	return x
}

// forward returns the logits [last][vocabulary] of the last tokens.
func forward(ctx context.Context, w *model.Weights, a *lora.Adapter, f *flat, last int) ([][]float32, error) {
	c := w.Config
	x := embed(w, a, f) // [tokens, hidden]
	for i, l := range w.Layers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h := normed(x, l[model.AttnNorm], c.NormEps)
		q, k, v := adapted(h, l[model.Q], a, i, model.Q, f), adapted(h, l[model.K], a, i, model.K, f), adapted(h, l[model.V], a, i, model.V, f)
		rotate(q, f.positions, c)
		rotate(k, f.positions, c)
		add(x, adapted(attend(q, k, v, f.sees, c), l[model.O], a, i, model.O, f))

		h = normed(x, l[model.FFNorm], c.NormEps)
		gate, up := adapted(h, l[model.Gate], a, i, model.Gate, f), adapted(h, l[model.Up], a, i, model.Up, f)
		for t, row := range gate {
			for j, g := range row {
				row[j] = g / (1 + float32(math.Exp(float64(-g)))) * up[t][j]
			}
		}
		add(x, adapted(gate, l[model.Down], a, i, model.Down, f))
	}
	return linear(normed(x[len(x)-last:], w.Tensors[model.OutputNorm], c.NormEps), w.Tensors[model.Head]), nil
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
