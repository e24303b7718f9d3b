package oracle

import (
	"context"
	"math"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
)

// adapted returns the product of x with a projection of a layer, its bias, and the factor
// of the adapter where it applies to a token.
func adapted(x [][]float32, w *model.Weights, a *lora.Adapter, layer int, t model.Role, f *flat) [][]float32 {
	out := linear(x, w.Layers[layer][t])
	if bias := w.Layers[layer][t.Bias()]; bias.Rows > 0 {
		addRow(out, expand(bias, 0, 1)[0])
	}
	if a == nil || a.Layers[layer][t] == nil {
		return out
	}
	parallel(len(x), func(i int) {
		if !a.Info.Activated || !f.context[i] {
			addLow(x[i:i+1], out[i:i+1], a.Layers[layer][t])
		}
	})
	return out
}

// addLow adds a factor's products of x.
func addLow(x, out [][]float32, l *lora.Factor) {
	for i := range x {
		for r := range l.Rank {
			low := l.Scale * dot(x[i], l.A[r*l.In:(r+1)*l.In])
			for j := range out[i] {
				out[i][j] += low * l.B[j*l.Rank+r]
			}
		}
	}
}

// embed returns the embeddings of the tokens, the adapter's where it has one, scaled,
// projected and with their positions' as the model does.
func embed(w *model.Weights, a *lora.Adapter, f *flat) [][]float32 {
	x := embeddings(w, a, f)
	if scale := w.Config.EmbedScale; scale > 0 {
		for _, row := range x {
			for i := range row {
				row[i] *= scale
			}
		}
	}
	if in := w.Tensors[model.ProjectIn]; in.Rows > 0 {
		x = linear(x, in)
	}
	if table := w.Tensors[model.PositionTable]; table.Rows > 0 {
		for i, p := range f.positions {
			p += w.Config.PositionOffset
			addRow(x[i:i+1], expand(table, p, p+1)[0])
		}
	}
	return x
}

// embeddings returns the rows of the embedding for the tokens.
func embeddings(w *model.Weights, a *lora.Adapter, f *flat) [][]float32 {
	if a == nil {
		return gather(w.Tensors[model.Embedding], f.tokens)
	}
	x := matrix(len(f.tokens), w.Config.Embedded())
	for i, t := range f.tokens {
		row := a.Row(t)
		if row == nil || a.Info.Activated && f.context[i] {
			row = expand(w.Tensors[model.Embedding], int(t), int(t)+1)[0]
		}
		copy(x[i], row)
		if l := a.Embedding; l != nil && int(t) < l.In {
			for r := range l.Rank {
				for j := range x[i] {
					x[i][j] += l.Scale * l.A[r*l.In+int(t)] * l.B[j*l.Rank+r]
				}
			}
		}
	}
	return x
}

// forward returns the logits [last][vocabulary] of the last tokens.
func forward(ctx context.Context, w *model.Weights, a *lora.Adapter, f *flat, last int) ([][]float32, error) {
	c := w.Config
	x := embed(w, a, f) // [tokens, hidden]
	for i := range w.Layers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		attention := func(h [][]float32) [][]float32 {
			q, k, v := adapted(h, w, a, i, model.Q, f), adapted(h, w, a, i, model.K, f), adapted(h, w, a, i, model.V, f)
			return adapted(attend(w, i, q, k, v, f), w, a, i, model.O, f)
		}
		feedForward := func(h [][]float32) [][]float32 {
			inner := adapted(h, w, a, i, model.Up, f)
			if w.Layers[i][model.Gate].Rows > 0 {
				for t, gate := range adapted(h, w, a, i, model.Gate, f) {
					for j, g := range gate {
						inner[t][j] *= activate(c, g)
					}
				}
			} else {
				for _, row := range inner {
					for j, v := range row {
						row[j] = activate(c, v)
					}
				}
			}
			return adapted(inner, w, a, i, model.Down, f)
		}
		residual(w, w.Layers[i], x, model.AttnNorm, model.PostAttnNorm, attention)
		residual(w, w.Layers[i], x, model.FFNorm, model.PostFFNorm, feedForward)
	}
	x = x[len(x)-last:]
	if w.Tensors[model.OutputNorm].Rows > 0 {
		x = normed(x, w.Tensors, model.OutputNorm, c)
	}
	if out := w.Tensors[model.ProjectOut]; out.Rows > 0 {
		x = linear(x, out)
	}
	logits := linear(x, w.Tensors[model.Head])
	if a != nil && a.Head != nil {
		addLow(x, logits, a.Head)
	}
	if c.LogitCap > 0 {
		for _, row := range logits {
			for i, v := range row {
				row[i] = float32(capped(float64(v), float64(c.LogitCap)))
			}
		}
	}
	return logits, nil
}

// residual adds to x what part makes of it, with the norms where the family has them.
func residual(w *model.Weights, l model.Tensors, x [][]float32, norm, post model.Role, part func(h [][]float32) [][]float32) {
	c := w.Config
	h := x
	if !c.NormAfter {
		h = normed(x, l, norm, c)
	}
	y := part(h)
	if l[post].Rows > 0 {
		y = normed(y, l, post, c)
	}
	add(x, y)
	if c.NormAfter {
		for i, row := range normed(x, l, norm, c) {
			copy(x[i], row)
		}
	}
}

// activate returns the activation of the feed-forward.
func activate(c model.Config, v float32) float32 {
	x := float64(v)
	switch c.Activation {
	case device.GELUTanh:
		return float32(x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))))
	case device.ReLU:
		return max(v, 0)
	}
	return float32(x / (1 + math.Exp(-x)))
}

func capped(x, most float64) float64 { return most * math.Tanh(x/most) }

// rotate turns the pairs of every head, (2i, 2i+1) or half of what is turned apart, by
// position · base^(-2i/rotated) over the pair's factor.
func rotate(x [][]float32, positions []int, r model.Rope, c model.Config) {
	half := r.Rotated / 2
	for t, row := range x {
		for i := range half {
			frequency := math.Pow(r.Base, -float64(2*i)/float64(r.Rotated))
			if r.Factors != nil {
				frequency /= float64(r.Factors[i])
			}
			sin, cos := math.Sincos(float64(positions[t]) * frequency)
			sin, cos = sin*float64(r.Scale), cos*float64(r.Scale)
			low, high := 2*i, 2*i+1
			if c.Halves {
				low, high = i, half+i
			}
			for head := 0; head < len(row); head += c.HeadDim {
				a, b := float64(row[head+low]), float64(row[head+high])
				row[head+low], row[head+high] = float32(a*cos-b*sin), float32(a*sin+b*cos)
			}
		}
	}
}

// headNorm normalises every head of x.
func headNorm(x [][]float32, l model.Tensors, norm model.Role, c model.Config) {
	if l[norm].Rows == 0 {
		return
	}
	for _, row := range x {
		for at := 0; at < len(row); at += c.HeadDim {
			head := row[at : at+c.HeadDim]
			copy(head, normed([][]float32{head}, l, norm, c)[0])
		}
	}
}

// attend returns the attention [tokens, heads·headDim] of a layer under its mask.
func attend(w *model.Weights, layer int, q, k, v [][]float32, f *flat) [][]float32 {
	c := w.Config
	headNorm(q, w.Layers[layer], model.QNorm, c)
	headNorm(k, w.Layers[layer], model.KNorm, c)
	if r := c.RopeOf(layer); r >= 0 {
		rope := c.Ropes()[r]
		if f.long {
			rope = c.LongRopes()[r]
		}
		rotate(q, f.positions, rope, c)
		rotate(k, f.positions, rope, c)
	}
	sees := f.within(c.WindowOf(layer), c.Beside())
	out := matrix(len(q), c.Heads*c.HeadDim)
	scale := c.Scale()
	parallel(len(q), func(t int) {
		weights := make([]float32, len(k))
		for head := range c.Heads {
			at, kv := head*c.HeadDim, head/(c.Heads/c.KVHeads)*c.HeadDim
			query := q[t][at : at+c.HeadDim]
			top := math.Inf(-1)
			for s := range k {
				if sees[t][s] {
					score := scale * float64(dot(query, k[s][kv:kv+c.HeadDim]))
					if c.ScoreCap > 0 {
						score = capped(score, c.ScoreCap)
					}
					weights[s] = float32(score)
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
