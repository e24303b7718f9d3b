// Package nn holds the blocks of a transformer, written over the operations of
// a device.
package nn

import (
	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// Linear is a matrix product with stored weights W [out, in]. Where Panel is set,
// activations are rounded to int8 and multiplied with that repacked form.
type Linear struct {
	W     tensor.Matrix
	Panel *kernel.Panel
}

// to returns the product of x with the weights into out.
func (l Linear) to(out []float32) cpu.Product {
	return cpu.Product{Out: out, W: l.W, Panel: l.Panel}
}

// addTo returns the product of x with the weights added to out.
func (l Linear) addTo(out []float32) cpu.Product {
	return cpu.Product{Out: out, W: l.W, Panel: l.Panel, Add: true}
}

// Norm is a root-mean-square norm with its scale [width].
type Norm struct {
	Scale []float32
	Eps   float32
}

// NewNorm returns the norm whose scale [1, width] is stored.
func NewNorm(set *kernel.Set, stored tensor.Matrix, eps float32) Norm {
	scale := make([]float32, stored.Cols)
	set.Dequantize(stored.Type, scale, stored.Data)
	return Norm{Scale: scale, Eps: eps}
}

// Block is one block of the llama family: attention with rotary positions and
// grouped queries, then a SwiGLU feed-forward, each behind a norm and added to
// the residual stream.
type Block struct {
	AttnNorm   Norm
	Q, K, V, O Linear
	FFNorm     Norm
	Gate, Up   Linear
	Down       Linear
}

// Batch is what the rows of one forward have in common for all layers.
type Batch struct {
	Tokens   int
	Shape    cpu.AttendShape
	Cos, Sin []float32  // [Tokens, HeadDim/2]
	KV       *cpu.KV    // of the rows' spans
	Rows     []cpu.Rows // cover the tokens in order
	Adapted  []Adapted  // the rows that adapters change; nil: none
}

// Activations are the buffers of a forward, for up to some number of tokens.
type Activations struct {
	X        []float32 // residual stream [tokens, hidden]
	norm     []float32 // [tokens, hidden]
	q, attn  []float32 // [tokens, heads·headDim]
	k, v     []float32 // [tokens, kvHeads·headDim]
	gate, up []float32 // [tokens, ff]
}

// NewActivations returns buffers for forwards of up to tokens rows.
func NewActivations(tokens, hidden, ff int, s cpu.AttendShape) *Activations {
	buf := func(width int) []float32 { return make([]float32, tokens*width) }
	return &Activations{
		X: buf(hidden), norm: buf(hidden),
		q: buf(s.Heads * s.HeadDim), attn: buf(s.Heads * s.HeadDim),
		k: buf(s.KVHeads * s.HeadDim), v: buf(s.KVHeads * s.HeadDim),
		gate: buf(ff), up: buf(ff),
	}
}

// Forward adds the block's outputs to a.X for the rows of the batch and writes
// their keys and values for this layer.
func (b *Block) Forward(d *cpu.Device, layer int, batch *Batch, a *Activations) {
	n := batch.Tokens
	d.RMSNorm(a.norm, a.X, b.AttnNorm.Scale, n, b.AttnNorm.Eps)
	d.MatMul(a.norm, n, b.Q.to(a.q), b.K.to(a.k), b.V.to(a.v))
	batch.adapt(d, layer, a.norm, output{lora.Q, a.q}, output{lora.K, a.k}, output{lora.V, a.v})
	d.StoreAttend(a.attn, a.q, a.k, a.v, batch.Cos, batch.Sin, batch.KV, layer, batch.Shape, batch.Rows)
	d.MatMul(a.attn, n, b.O.addTo(a.X))
	batch.adapt(d, layer, a.attn, output{lora.O, a.X})

	d.RMSNorm(a.norm, a.X, b.FFNorm.Scale, n, b.FFNorm.Eps)
	if len(batch.Adapted) == 0 {
		d.FeedForward(a.norm, n, b.Gate.to(a.gate), b.Up.to(a.up), b.Down.addTo(a.X))
		return
	}
	d.MatMul(a.norm, n, b.Gate.to(a.gate), b.Up.to(a.up))
	batch.adapt(d, layer, a.norm, output{lora.Gate, a.gate}, output{lora.Up, a.up})
	d.SwiGLU(a.gate, a.up, n, b.Gate.W.Rows)
	d.MatMul(a.gate, n, b.Down.addTo(a.X))
	batch.adapt(d, layer, a.gate, output{lora.Down, a.X})
}

// Head turns the last residual stream into logits.
type Head struct {
	Norm Norm
	Out  Linear
}

// Forward writes the logits [rows, vocabulary] of x [rows, hidden]; x is
// normalised in place.
func (h *Head) Forward(d *cpu.Device, logits, x []float32, rows int) {
	d.RMSNorm(x, x, h.Norm.Scale, rows, h.Norm.Eps)
	d.MatMul(x, rows, h.Out.to(logits))
}
