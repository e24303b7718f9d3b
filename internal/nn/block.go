// Package nn holds the blocks of a transformer, written over the operations of
// a device.
package nn

import (
	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
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

// Block is one block of the llama family: attention with rotary positions and
// grouped queries, then a SwiGLU feed-forward, each behind a root-mean-square norm and
// added to the residual stream.
type Block struct {
	Linear  [model.Projections]Linear
	Vectors [model.Roles][]float32 // the other tensors of the block
	NormEps float32
}

// NewBlocks binds the blocks of a model.
func NewBlocks(w *model.Weights) []Block {
	blocks := make([]Block, len(w.Layers))
	for i := range blocks {
		blocks[i].NormEps = w.Config.NormEps
		for _, t := range w.Config.Block() {
			if stored := w.Layers[i][t.Role]; t.Role.Projection() {
				blocks[i].Linear[t.Role].W = stored
			} else {
				blocks[i].Vectors[t.Role] = quant.Vector(stored)
			}
		}
	}
	return blocks
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
	d.RMSNorm(a.norm, a.X, b.Vectors[model.AttnNorm], n, b.NormEps)
	d.MatMul(a.norm, n, b.Linear[model.Q].to(a.q), b.Linear[model.K].to(a.k), b.Linear[model.V].to(a.v))
	batch.adapt(d, layer, a.norm, output{model.Q, a.q}, output{model.K, a.k}, output{model.V, a.v})
	d.StoreAttend(a.attn, a.q, a.k, a.v, batch.Cos, batch.Sin, batch.KV, layer, batch.Shape, batch.Rows)
	d.MatMul(a.attn, n, b.Linear[model.O].addTo(a.X))
	batch.adapt(d, layer, a.attn, output{model.O, a.X})

	d.RMSNorm(a.norm, a.X, b.Vectors[model.FFNorm], n, b.NormEps)
	if len(batch.Adapted) == 0 {
		d.FeedForward(a.norm, n, b.Linear[model.Gate].to(a.gate), b.Linear[model.Up].to(a.up), b.Linear[model.Down].addTo(a.X))
		return
	}
	d.MatMul(a.norm, n, b.Linear[model.Gate].to(a.gate), b.Linear[model.Up].to(a.up))
	batch.adapt(d, layer, a.norm, output{model.Gate, a.gate}, output{model.Up, a.up})
	d.SwiGLU(a.gate, a.up, n, b.Linear[model.Gate].W.Rows)
	d.MatMul(a.gate, n, b.Linear[model.Down].addTo(a.X))
	batch.adapt(d, layer, a.gate, output{model.Down, a.X})
}

// Head turns the last residual stream into logits.
type Head struct {
	Norm    []float32
	NormEps float32
	Out     Linear
}

// NewHead binds the head of a model.
func NewHead(w *model.Weights) Head {
	return Head{Norm: quant.Vector(w.Tensors[model.OutputNorm]), NormEps: w.Config.NormEps, Out: Linear{W: w.Tensors[model.Head]}}
}

// Forward writes the logits [rows, vocabulary] of x [rows, hidden]; x is
// normalised in place.
func (h *Head) Forward(d *cpu.Device, logits, x []float32, rows int) {
	d.RMSNorm(x, x, h.Norm, rows, h.NormEps)
	d.MatMul(x, rows, h.Out.to(logits))
}
