// Package backward has the blocks of a transformer with what an adapter adds to
// them, forward and backward, for training. It keeps what gradients need and runs on
// the CPU's operations; package nn has the same blocks for inference.
package backward

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// Block is a block of the llama family with its weights as they are stored, and those
// that are vectors as numbers too.
type Block struct {
	Weights model.Tensors
	Vectors [model.Roles][]float32
	NormEps float32
}

// NewBlocks binds the blocks of a model.
func NewBlocks(w *model.Weights) []Block {
	blocks := make([]Block, len(w.Layers))
	for i := range blocks {
		blocks[i].Weights, blocks[i].NormEps = w.Layers[i], w.Config.NormEps
		for _, t := range w.Config.Block() {
			if !t.Role.Projection() {
				blocks[i].Vectors[t.Role] = quant.Vector(w.Layers[i][t.Role])
			}
		}
	}
	return blocks
}

// Head turns the last residual stream into logits by a norm and the weights Out
// [vocabulary, hidden].
type Head struct {
	Norm    []float32
	NormEps float32
	Out     tensor.Matrix
}

// NewHead binds the head of a model.
func NewHead(w *model.Weights) Head {
	return Head{Norm: quant.Vector(w.Tensors[model.OutputNorm]), NormEps: w.Config.NormEps, Out: w.Tensors[model.Head]}
}

// Pass is what the rows of one training step have in common for all layers, and the
// buffers that all layers share. The rows see each other as the segments say.
type Pass struct {
	Device   *cpu.Backward
	Rows     int
	From     int // rows before it are the frozen model's: no factor, no gradient
	Shape    device.AttendShape
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
func TapeFloats(hidden, ff int, s device.AttendShape) int {
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
	for t, l := range b.Weights[:model.Projections] {
		f := b.Factors[t]
		if f == nil {
			continue
		}
		if f.Rank < 1 || f.In != l.Cols || f.Out != l.Rows || len(f.A) != f.Rank*f.In || len(f.B) != f.Out*f.Rank {
			return fmt.Errorf("the factor of %s has rank %d, A of %d and B of %d numbers, which do not fit a projection from %d to %d",
				model.Role(t), f.Rank, len(f.A), len(f.B), l.Cols, l.Rows)
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
	hidden, ff := len(b.Vectors[model.AttnNorm]), b.Weights[model.Gate].Rows
	s := p.Shape
	norm := sized(&p.norm, n*hidden)
	d.RMSNorm(norm, t.X, b.Vectors[model.AttnNorm], n, b.NormEps)
	q, k, v := p.zeroed(&t.q, n, b.Weights[model.Q].Rows), p.zeroed(&t.k, n, b.Weights[model.K].Rows), p.zeroed(&t.v, n, b.Weights[model.V].Rows)
	b.linear(p, model.Q, q, norm)
	b.linear(p, model.K, k, norm)
	b.linear(p, model.V, v, norm)
	d.Rotate(q, p.Cos, p.Sin, n, s.Heads, s.HeadDim)
	d.Rotate(k, p.Cos, p.Sin, n, s.KVHeads, s.HeadDim)
	sized(&t.attn, len(q))
	sized(&t.logSum, n*s.Heads)
	d.AttendFlat(t.flat(p))
	mid := sized(&t.mid, n*hidden)
	d.Copy(mid, t.X, n, hidden)
	b.linear(p, model.O, mid, t.attn)

	d.RMSNorm(norm, mid, b.Vectors[model.FFNorm], n, b.NormEps)
	gate, up := p.zeroed(&t.gate, n, ff), p.zeroed(&t.up, n, ff)
	b.linear(p, model.Gate, gate, norm)
	b.linear(p, model.Up, up, norm)
	if out == nil {
		return
	}
	act := b.activation(p, &p.ff, t)
	d.Copy(out, mid, n, hidden)
	b.linear(p, model.Down, out, act)
}

// linear adds to out the projection of x [Rows, in] with its factor.
func (b *Tuned) linear(p *Pass, t model.Role, out, x []float32) {
	p.Device.MatMulForward(out, x, p.Rows, b.Weights[t])
	b.addFactor(p, t, out, x)
}

// flat returns the attention of the tape.
func (t *Tape) flat(p *Pass) *cpu.Flat {
	return &cpu.Flat{Shape: p.Shape, Segments: p.Segments, Q: t.q, K: t.k, V: t.v, Out: t.attn, LogSum: t.logSum}
}

// activation returns the input of the down projection, in the memory of buf.
func (b *Tuned) activation(p *Pass, buf *[]float32, t *Tape) []float32 {
	ff := b.Weights[model.Gate].Rows
	act := sized(buf, len(t.gate))
	p.Device.Copy(act, t.gate, p.Rows, ff)
	p.Device.Activate(device.SiLU, act, t.up, p.Rows, ff)
	return act
}

// Backward turns dx, the gradient of the block's output [rows, hidden], into that of
// its input, and adds to the gradients of its factors. Where nothing below is
// trained, input is false and dx is left undefined.
func (b *Tuned) Backward(p *Pass, t *Tape, dx []float32, input bool) {
	d, n, s := p.Device, p.Rows, p.Shape
	hidden, ff := len(b.Vectors[model.AttnNorm]), b.Weights[model.Gate].Rows
	from := p.From
	after := func(x []float32, width int) []float32 { return x[from*width:] }

	dAct := p.zeroed(&p.ff, n, ff)
	b.linearBackward(p, model.Down, dAct, dx, func() []float32 {
		return b.activation(p, &p.dGate, t) // dGate is not needed yet
	})
	dGate := sized(&p.dGate, n*ff)
	d.SwiGLUBackward(after(dGate, ff), after(dAct, ff), after(t.gate, ff), after(t.up, ff), n-from, ff)
	normed := func(x []float32, of model.Role) func() []float32 {
		return func() []float32 {
			norm := sized(&p.norm, n*hidden)
			d.RMSNorm(norm, x, b.Vectors[of], n, b.NormEps)
			return norm
		}
	}
	dNorm := p.zeroed(&p.dNorm, n, hidden)
	x := normed(t.mid, model.FFNorm)
	b.linearBackward(p, model.Gate, dNorm, dGate, x)
	b.linearBackward(p, model.Up, dNorm, dAct, x)
	d.RMSNormBackward(after(dx, hidden), after(dNorm, hidden), after(t.mid, hidden), b.Vectors[model.FFNorm], n-from, b.NormEps)

	dAttn := p.zeroed(&p.dAttn, n, b.Weights[model.O].Cols)
	b.linearBackward(p, model.O, dAttn, dx, func() []float32 { return t.attn })
	if !input && b.Grads[model.Q] == nil && b.Grads[model.K] == nil && b.Grads[model.V] == nil {
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
	x = normed(t.X, model.AttnNorm)
	b.linearBackward(p, model.Q, dNorm, dQ, x)
	b.linearBackward(p, model.K, dNorm, dK, x)
	b.linearBackward(p, model.V, dNorm, dV, x)
	if input {
		d.RMSNormBackward(after(dx, hidden), after(dNorm, hidden), after(t.X, hidden), b.Vectors[model.AttnNorm], n-from, b.NormEps)
	}
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
