// Package backward has the blocks of a transformer with what an adapter adds to
// them, forward and backward, for training. It keeps what gradients need and runs on
// the CPU's operations; package nn has the same blocks for inference.
package backward

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// Norm is a root-mean-square norm with its scale [width].
type Norm struct {
	Scale []float32
	Eps   float32
}

// NewNorm returns the norm whose scale [1, width] is stored.
func NewNorm(stored tensor.Matrix, eps float32) Norm {
	scale := make([]float32, stored.Cols)
	quant.Row(scale, stored, 0)
	return Norm{Scale: scale, Eps: eps}
}

// Block is a block of the llama family with its weights as they are stored: a
// projection's are [out, in].
type Block struct {
	AttnNorm   Norm
	Q, K, V, O tensor.Matrix
	FFNorm     Norm
	Gate, Up   tensor.Matrix
	Down       tensor.Matrix
}

// Head turns the last residual stream into logits by a norm and the weights Out
// [vocabulary, hidden].
type Head struct {
	Norm Norm
	Out  tensor.Matrix
}

// Pass is what the rows of one training step have in common for all layers, and the
// buffers that all layers share. The rows see each other as the segments say.
type Pass struct {
	Device   *cpu.Backward
	Rows     int
	From     int // rows before it are the frozen model's: no factor, no gradient
	Shape    cpu.AttendShape
	Cos, Sin []float32 // [Rows, HeadDim/2]
	Segments []cpu.Segment
	Dropout  Dropout

	norm, dNorm     []float32 // [Rows, hidden]
	dQ, dAttn       []float32 // [Rows, heads·headDim]
	dK, dV          []float32 // [Rows, kvHeads·headDim]
	ff, dGate       []float32 // [Rows, ff]
	back            []float32 // -Sin
	dropped, keep   []float32 // [Rows, in] of a factor
	low, lowT       []float32 // [Rows, rank], [rank, Rows]
	dLow, dLowT     []float32
	factorT, gradsT []float32 // [rank, out]
}

// Tape is what the backward pass of a block needs of its forward pass.
type Tape struct {
	X        []float32 // the block's input [rows, hidden]
	q, attn  []float32 // [rows, heads·headDim]; q is turned to its position
	k, v     []float32 // [rows, kvHeads·headDim]; k is turned to its position
	logSum   []float32 // [rows, heads]
	mid      []float32 // [rows, hidden]: the residual stream between attention and feed-forward
	gate, up []float32 // [rows, ff]
}

// TapeFloats returns how many numbers of a tape a row takes besides X.
func TapeFloats(hidden, ff int, s cpu.AttendShape) int {
	return 2*(s.Heads+s.KVHeads)*s.HeadDim + s.Heads + hidden + 2*ff
}

// Tuned is a block with what an adapter adds to its projections.
type Tuned struct {
	*Block
	Layer   int
	Factors lora.Layer
	Grads   lora.Layer // nil where there is no gradient to compute
}

// Check says whether the factors fit the projections.
func (b *Tuned) Check() error {
	for t, l := range [lora.Targets]tensor.Matrix{b.Q, b.K, b.V, b.O, b.Gate, b.Up, b.Down} {
		f := b.Factors[t]
		if f == nil {
			continue
		}
		if f.Rank < 1 || f.In != l.Cols || f.Out != l.Rows || len(f.A) != f.Rank*f.In || len(f.B) != f.Out*f.Rank {
			return fmt.Errorf("the factor of %s has rank %d, A of %d and B of %d numbers, which do not fit a projection from %d to %d",
				lora.Target(t), f.Rank, len(f.A), len(f.B), l.Cols, l.Rows)
		}
	}
	return nil
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

// Forward runs the block on t.X, keeps on the tape what Backward needs, and writes
// the output to out, which may be t.X itself if it is not needed again. Without out
// it only fills the tape.
func (b *Tuned) Forward(p *Pass, t *Tape, out []float32) {
	d, n := p.Device, p.Rows
	hidden, ff := len(b.AttnNorm.Scale), b.Gate.Rows
	s := p.Shape
	norm := sized(&p.norm, n*hidden)
	d.RMSNorm(norm, t.X, b.AttnNorm.Scale, n, b.AttnNorm.Eps)
	q, k, v := p.zeroed(&t.q, n, b.Q.Rows), p.zeroed(&t.k, n, b.K.Rows), p.zeroed(&t.v, n, b.V.Rows)
	b.linear(p, lora.Q, b.Q, q, norm)
	b.linear(p, lora.K, b.K, k, norm)
	b.linear(p, lora.V, b.V, v, norm)
	d.Rotate(q, p.Cos, p.Sin, n, s.Heads, s.HeadDim)
	d.Rotate(k, p.Cos, p.Sin, n, s.KVHeads, s.HeadDim)
	sized(&t.attn, len(q))
	sized(&t.logSum, n*s.Heads)
	d.AttendFlat(t.flat(p))
	mid := sized(&t.mid, n*hidden)
	d.Copy(mid, t.X, n, hidden)
	b.linear(p, lora.O, b.O, mid, t.attn)

	d.RMSNorm(norm, mid, b.FFNorm.Scale, n, b.FFNorm.Eps)
	gate, up := p.zeroed(&t.gate, n, ff), p.zeroed(&t.up, n, ff)
	b.linear(p, lora.Gate, b.Gate, gate, norm)
	b.linear(p, lora.Up, b.Up, up, norm)
	if out == nil {
		return
	}
	act := b.activation(p, &p.ff, t)
	d.Copy(out, mid, n, hidden)
	b.linear(p, lora.Down, b.Down, out, act)
}

// linear adds to out the projection of x [Rows, in] with its factor.
func (b *Tuned) linear(p *Pass, t lora.Target, l tensor.Matrix, out, x []float32) {
	p.Device.MatMulForward(out, x, p.Rows, l)
	b.addFactor(p, t, out, x)
}

// flat returns the attention of the tape.
func (t *Tape) flat(p *Pass) *cpu.Flat {
	return &cpu.Flat{Shape: p.Shape, Segments: p.Segments, Q: t.q, K: t.k, V: t.v, Out: t.attn, LogSum: t.logSum}
}

// activation returns the input of the down projection, in the memory of buf.
func (b *Tuned) activation(p *Pass, buf *[]float32, t *Tape) []float32 {
	ff := b.Gate.Rows
	act := sized(buf, len(t.gate))
	p.Device.Copy(act, t.gate, p.Rows, ff)
	p.Device.SwiGLU(act, t.up, p.Rows, ff)
	return act
}

// Backward turns dx, the gradient of the block's output [rows, hidden], into that of
// its input, and adds to the gradients of its factors. Where nothing below is
// trained, input is false and dx is left undefined.
func (b *Tuned) Backward(p *Pass, t *Tape, dx []float32, input bool) {
	d, n, s := p.Device, p.Rows, p.Shape
	hidden, ff := len(b.AttnNorm.Scale), b.Gate.Rows
	from := p.From
	after := func(x []float32, width int) []float32 { return x[from*width:] }

	dAct := p.zeroed(&p.ff, n, ff)
	b.linearBackward(p, lora.Down, b.Down, dAct, dx, func() []float32 {
		return b.activation(p, &p.dGate, t) // dGate is not needed yet
	})
	dGate := sized(&p.dGate, n*ff)
	d.SwiGLUBackward(after(dGate, ff), after(dAct, ff), after(t.gate, ff), after(t.up, ff), n-from, ff)
	normed := func(x []float32, of Norm) func() []float32 {
		return func() []float32 {
			norm := sized(&p.norm, n*hidden)
			d.RMSNorm(norm, x, of.Scale, n, of.Eps)
			return norm
		}
	}
	dNorm := p.zeroed(&p.dNorm, n, hidden)
	x := normed(t.mid, b.FFNorm)
	b.linearBackward(p, lora.Gate, b.Gate, dNorm, dGate, x)
	b.linearBackward(p, lora.Up, b.Up, dNorm, dAct, x)
	d.RMSNormBackward(after(dx, hidden), after(dNorm, hidden), after(t.mid, hidden), b.FFNorm.Scale, n-from, b.FFNorm.Eps)

	dAttn := p.zeroed(&p.dAttn, n, b.O.Cols)
	b.linearBackward(p, lora.O, b.O, dAttn, dx, func() []float32 { return t.attn })
	if !input && b.Grads[lora.Q] == nil && b.Grads[lora.K] == nil && b.Grads[lora.V] == nil {
		return
	}
	dQ, dK, dV := sized(&p.dQ, len(t.q)), sized(&p.dK, len(t.k)), sized(&p.dV, len(t.v))
	d.AttendBackward(t.flat(p), dQ, dK, dV, dAttn, from)
	back := sized(&p.back, len(p.Sin))
	for i, v := range p.Sin {
		back[i] = -v
	}
	half := s.HeadDim / 2
	d.Rotate(after(dQ, s.Heads*s.HeadDim), after(p.Cos, half), after(back, half), n-from, s.Heads, s.HeadDim)
	d.Rotate(after(dK, s.KVHeads*s.HeadDim), after(p.Cos, half), after(back, half), n-from, s.KVHeads, s.HeadDim)
	dNorm = nil
	if input {
		dNorm = p.zeroed(&p.dNorm, n, hidden)
	}
	x = normed(t.X, b.AttnNorm)
	b.linearBackward(p, lora.Q, b.Q, dNorm, dQ, x)
	b.linearBackward(p, lora.K, b.K, dNorm, dK, x)
	b.linearBackward(p, lora.V, b.V, dNorm, dV, x)
	if input {
		d.RMSNormBackward(after(dx, hidden), after(dNorm, hidden), after(t.X, hidden), b.AttnNorm.Scale, n-from, b.AttnNorm.Eps)
	}
}

// linearBackward adds to dx, unless that is nil, the gradient of the input of a
// projection, given that of its output, dy, and adds to the gradients of its factor,
// which needs the input.
func (b *Tuned) linearBackward(p *Pass, t lora.Target, l tensor.Matrix, dx, dy []float32, input func() []float32) {
	dy = dy[p.From*l.Rows:]
	if dx != nil {
		dx = dx[p.From*l.Cols:]
		p.Device.MatMulBackward(dx, dy, p.Rows-p.From, l)
	}
	if b.Factors[t] != nil {
		b.factorBackward(p, t, dx, dy, input())
	}
}
