package backward

import "github.com/flashback-lm/flashback/internal/model"

// Backward turns dx, the gradient of the block's output [rows, hidden], into that of
// its input, and adds to the gradients of its factors. Where nothing below is
// trained, input is false and dx is left undefined.
func (b *Tuned) Backward(p *Pass, t *Tape, dx []float32, input bool) {
	d, n, s := p.Device, p.Rows, b.Attention
	hidden, ff := b.hidden(), b.Weights[model.Up].Rows

	dOut := b.addBackward(p, model.Down, t, dx)
	dAct := p.zeroed(&p.ff, n, ff)
	b.linearBackward(p, model.Down, dAct, dOut, func() []float32 {
		return b.activation(p, &p.dGate, t) // dGate is not needed yet
	})
	dGate := sized(&p.dGate, n*ff)
	dNorm := p.zeroed(&p.dNorm, n, hidden)
	x := b.again(p, model.FFNorm, t.mid)
	if b.gated() {
		d.ActivateBackward(b.Activation, p.after(dGate, ff), p.after(dAct, ff), p.after(t.gate, ff), p.after(t.up, ff), n-p.From, ff)
		b.linearBackward(p, model.Gate, dNorm, dGate, x)
		b.linearBackward(p, model.Up, dNorm, dAct, x)
	} else {
		d.ActivateBackward(b.Activation, p.after(dGate, ff), p.after(dAct, ff), p.after(t.up, ff), nil, n-p.From, ff)
		b.linearBackward(p, model.Up, dNorm, dGate, x)
	}
	b.beforeBackward(p, model.FFNorm, dx, dNorm, t.mid)

	dOut = b.addBackward(p, model.O, t, dx)
	dAttn := p.zeroed(&p.dAttn, n, b.Weights[model.O].Cols)
	b.linearBackward(p, model.O, dAttn, dOut, func() []float32 { return t.attn })
	if !input && b.Grads[model.Q] == nil && b.Grads[model.K] == nil && b.Grads[model.V] == nil {
		return
	}
	dQ, dK, dV := sized(&p.dQ, len(t.q)), sized(&p.dK, len(t.k)), sized(&p.dV, len(t.v))
	d.AttendBackward(b.flat(p, t), dQ, dK, dV, dAttn, p.From)
	if b.Rope >= 0 {
		turn := p.Turns[b.Rope]
		back := sized(&p.back, len(turn.Sin))
		for i, v := range turn.Sin {
			back[i] = -v
		}
		turn.Cos, turn.Sin = p.after(turn.Cos, turn.Pairs), p.after(back, turn.Pairs)
		d.Rotate(p.after(dQ, s.Heads*s.HeadDim), turn, n-p.From, s.Heads, s.HeadDim)
		d.Rotate(p.after(dK, s.KVHeads*s.HeadDim), turn, n-p.From, s.KVHeads, s.HeadDim)
	}
	b.headNormBackward(p, model.QNorm, dQ, t.rawQ)
	b.headNormBackward(p, model.KNorm, dK, t.rawK)
	dNorm = nil
	if input {
		dNorm = p.zeroed(&p.dNorm, n, hidden)
	}
	x = b.again(p, model.AttnNorm, t.X)
	b.linearBackward(p, model.Q, dNorm, dQ, x)
	b.linearBackward(p, model.K, dNorm, dK, x)
	b.linearBackward(p, model.V, dNorm, dV, x)
	if input {
		b.beforeBackward(p, model.AttnNorm, dx, dNorm, t.X)
	}
}

// after returns the rows of x, of that width, which have gradients.
func (p *Pass) after(x []float32, width int) []float32 { return x[p.From*width:] }

// again returns what before has returned.
func (b *Tuned) again(p *Pass, norm model.Role, x []float32) func() []float32 {
	return func() []float32 { return b.before(p, norm, x) }
}

// beforeBackward adds to dx, the gradient of the stream x, what comes through the norm
// that stands in front of attention or of the feed-forward.
func (b *Tuned) beforeBackward(p *Pass, norm model.Role, dx, dNorm, x []float32) {
	hidden := b.hidden()
	if b.After {
		p.Device.Add(p.after(dx, hidden), p.after(dNorm, hidden), p.Rows-p.From, hidden)
		return
	}
	b.Norm.backward(p.Device, p.after(dx, hidden), p.after(dNorm, hidden), p.after(x, hidden), b.Vectors[norm], p.Rows-p.From)
}

// addBackward takes dx, the gradient of the stream behind what add did, through the norms
// there: dx becomes that of the stream in front of it, and what is returned is that of
// what the projection gives.
func (b *Tuned) addBackward(p *Pass, r model.Role, t *Tape, dx []float32) []float32 {
	hidden, n := b.hidden(), p.Rows-p.From
	post, after, sum := norms(r)
	through := func(norm Norm, scale []float32) []float32 {
		out := p.zeroed(&p.dPost, p.Rows, hidden)
		norm.backward(p.Device, p.after(out, hidden), p.after(dx, hidden), p.after(t.sums[sum], hidden), scale, n)
		return out
	}
	switch {
	case b.Vectors[post] != nil:
		return through(Norm{Eps: b.Norm.Eps}, b.Vectors[post])
	case b.After:
		p.Device.Copy(p.after(dx, hidden), p.after(through(b.Norm, b.Vectors[after]), hidden), n, hidden)
	}
	return dx
}

// headNormBackward takes dx, the gradient of queries or keys, through their norm.
func (b *Tuned) headNormBackward(p *Pass, norm model.Role, dx, raw []float32) {
	scale := b.Vectors[norm]
	if scale == nil {
		return
	}
	width, n := len(raw)/p.Rows, p.Rows-p.From
	through := p.zeroed(&p.dRaw, p.Rows, width)
	p.Device.RMSNormBackward(p.after(through, width), p.after(dx, width), p.after(raw, width), scale, n*width/len(scale), b.Norm.Eps)
	p.Device.Copy(p.after(dx, width), p.after(through, width), n, width)
}

// linearBackward adds to dx, unless that is nil, the gradient of the input of a
// projection, given that of its output, dy, and adds to the gradients of its factor,
// which needs the input.
func (b *Tuned) linearBackward(p *Pass, t model.Role, dx, dy []float32, input func() []float32) {
	w := b.Weights[t]
	dy = dy[p.From*w.Rows:]
	if dx != nil {
		dx = dx[p.From*w.Cols:]
		p.Device.MatMulBackward(dx, dy, p.Rows-p.From, w)
	}
	if b.Factors[t] != nil {
		b.factorBackward(p, t, dx, dy, input())
	}
}
