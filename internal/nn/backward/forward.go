package backward

import (
	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/model"
)

// hidden returns the width of the residual stream.
func (b *Block) hidden() int { return b.Weights[model.O].Rows }

// gated reports whether the feed-forward has a gate.
func (b *Block) gated() bool { return b.Weights[model.Gate].Rows > 0 }

// Forward runs the block on t.X, keeps on the tape what Backward needs, and writes
// the output to out, which may be t.X itself if it is not needed again. Without out
// it only fills the tape.
func (b *Tuned) Forward(p *Pass, t *Tape, out []float32) {
	d, n, hidden := p.Device, p.Rows, b.hidden()
	x := b.before(p, model.AttnNorm, t.X)
	b.product(p, model.Q, &t.q, x)
	b.product(p, model.K, &t.k, x)
	b.product(p, model.V, &t.v, x)
	b.headNorm(p, model.QNorm, &t.rawQ, t.q)
	b.headNorm(p, model.KNorm, &t.rawK, t.k)
	if b.Rope >= 0 {
		d.Rotate(t.q, p.Turns[b.Rope], n, b.Attention.Heads, b.Attention.HeadDim)
		d.Rotate(t.k, p.Turns[b.Rope], n, b.Attention.KVHeads, b.Attention.HeadDim)
	}
	sized(&t.attn, len(t.q))
	sized(&t.logSum, n*b.Attention.Heads)
	d.AttendFlat(b.flat(p, t))
	mid := sized(&t.mid, n*hidden)
	d.Copy(mid, t.X, n, hidden)
	b.add(p, model.O, t, mid, t.attn)

	x = b.before(p, model.FFNorm, mid)
	if b.gated() {
		b.product(p, model.Gate, &t.gate, x)
	}
	b.product(p, model.Up, &t.up, x)
	if out == nil {
		if !b.keepsSum(model.Down) {
			return
		}
		out = sized(&p.dNorm, n*hidden)
	}
	d.Copy(out, mid, n, hidden)
	b.add(p, model.Down, t, out, b.activation(p, &p.ff, t))
}

// before returns what attention or the feed-forward reads of the residual stream.
func (b *Tuned) before(p *Pass, norm model.Role, x []float32) []float32 {
	if b.After {
		return x
	}
	out := sized(&p.norm, len(x))
	b.Norm.forward(p.Device, out, x, b.Vectors[norm], b.Vectors[norm.Bias()], p.Rows)
	return out
}

// norms returns the norm that stands on what a projection gives, and that on the sum.
func norms(r model.Role) (post, after model.Role, sum int) {
	if r == model.O {
		return model.PostAttnNorm, model.AttnNorm, 0
	}
	return model.PostFFNorm, model.FFNorm, 1
}

// keepsSum reports whether a norm stands behind a projection or on its sum, so that the
// tape keeps what is in front of it.
func (b *Tuned) keepsSum(r model.Role) bool {
	post, _, _ := norms(r)
	return b.After || b.Vectors[post] != nil
}

// add adds to the residual stream what attention or the feed-forward gives by its last
// projection of x, with the norms that the family has there.
func (b *Tuned) add(p *Pass, r model.Role, t *Tape, stream, x []float32) {
	d, n, hidden := p.Device, p.Rows, b.hidden()
	post, after, sum := norms(r)
	if b.Vectors[post] != nil {
		given := b.product(p, r, &t.sums[sum], x)
		normed := sized(&p.post, n*hidden)
		d.RMSNorm(normed, given, b.Vectors[post], n, b.Norm.Eps)
		d.Add(stream, normed, n, hidden)
		return
	}
	b.linear(p, r, stream, x)
	if b.After {
		kept := sized(&t.sums[sum], n*hidden)
		d.Copy(kept, stream, n, hidden)
		b.Norm.forward(d, stream, kept, b.Vectors[after], b.Vectors[after.Bias()], n)
	}
}

// headNorm normalises every head of x, where the family does, and keeps what was there.
func (b *Tuned) headNorm(p *Pass, norm model.Role, raw *[]float32, x []float32) {
	scale := b.Vectors[norm]
	if scale == nil {
		return
	}
	width := len(x) / p.Rows
	p.Device.Copy(sized(raw, len(x)), x, p.Rows, width)
	p.Device.RMSNorm(x, *raw, scale, p.Rows*width/len(scale), b.Norm.Eps)
}

// product sets out, in the memory of buf, to the projection of x with its bias and factor.
func (b *Tuned) product(p *Pass, r model.Role, buf *[]float32, x []float32) []float32 {
	out := p.zeroed(buf, p.Rows, b.Weights[r].Rows)
	b.linear(p, r, out, x)
	return out
}

// linear adds to out the projection of x [Rows, in] with its bias and factor.
func (b *Tuned) linear(p *Pass, t model.Role, out, x []float32) {
	p.Device.MatMulForward(out, x, p.Rows, b.Weights[t])
	if bias := b.Vectors[t.Bias()]; bias != nil {
		p.Device.AddRow(out, bias, p.Rows, len(bias))
	}
	b.addFactor(p, t, out, x)
}

// flat returns the attention of the tape.
func (b *Tuned) flat(p *Pass, t *Tape) *cpu.Flat {
	return &cpu.Flat{
		Attention: b.Attention, Segments: p.Segments, Positions: p.Positions, Beside: p.Beside,
		Q: t.q, K: t.k, V: t.v, Out: t.attn, LogSum: t.logSum,
	}
}

// activation returns the input of the down projection, in the memory of buf.
func (b *Tuned) activation(p *Pass, buf *[]float32, t *Tape) []float32 {
	gate, up := t.gate, t.up
	if !b.gated() {
		gate, up = t.up, nil
	}
	ff := b.Weights[model.Up].Rows
	act := sized(buf, len(gate))
	p.Device.Copy(act, gate, p.Rows, ff)
	if up != nil && b.Activation != device.SiLU {
		spare := sized(&p.spare, len(up)) // which Activate may change
		p.Device.Copy(spare, up, p.Rows, ff)
		up = spare
	}
	p.Device.Activate(b.Activation, act, up, p.Rows, ff)
	return act
}

// sized returns n numbers in the memory of buf if it is large enough.
func sized(buf *[]float32, n int) []float32 {
	if cap(*buf) < n {
		*buf = make([]float32, n)
	}
	*buf = (*buf)[:n]
	return *buf
}

// zeroed returns zeros [rows, n] in the memory of buf.
func (p *Pass) zeroed(buf *[]float32, rows, n int) []float32 {
	out := sized(buf, rows*n)
	p.Device.Zero(out, rows, n)
	return out
}
