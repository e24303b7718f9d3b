// Package nn holds the blocks of a transformer, written over the operations of
// a device.
package nn

import (
	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/model"
)

// Block is one block of the llama family: attention with rotary positions and
// grouped queries, then a SwiGLU feed-forward, each behind a root-mean-square norm and
// added to the residual stream.
type Block struct {
	Matrices  [model.Projections]device.Matrix
	Vectors   [model.Roles]device.Vector // the other tensors of the block
	NormEps   float32
	Attention device.Attention
}

// to returns the product of a projection into a buffer.
func (b *Block) to(r model.Role, out device.Buffer) device.Product {
	return device.Product{Out: out, W: b.Matrices[r]}
}

// addTo returns the product of a projection, added to a buffer.
func (b *Block) addTo(r model.Role, out device.Buffer) device.Product {
	return device.Product{Out: out, W: b.Matrices[r], Add: true}
}

// Batch is what the rows of one forward have in common for all layers.
type Batch struct {
	Tokens  int
	Turn    device.Rotation // by the rows' positions
	Adapted []Adapted       // the rows that adapters change; nil: none
}

// Activations are the buffers of a forward, for up to some number of tokens.
type Activations struct {
	X        device.Buffer // residual stream [tokens, hidden]
	norm     device.Buffer // [tokens, hidden]
	q, attn  device.Buffer // [tokens, heads·headDim]
	k, v     device.Buffer // [tokens, kvHeads·headDim]
	gate, up device.Buffer // [tokens, ff]

	// Kept so that asking for an operation allocates nothing.
	products [3]device.Product
	updates  [3]device.Update
}

// NewActivations returns buffers of the workspace for forwards of up to tokens rows.
func NewActivations(w device.Workspace, tokens, hidden, ff int, s device.AttendShape) (*Activations, error) {
	a := &Activations{}
	for _, b := range []struct {
		to    *device.Buffer
		width int
	}{
		{&a.X, hidden}, {&a.norm, hidden},
		{&a.q, s.Heads * s.HeadDim}, {&a.attn, s.Heads * s.HeadDim},
		{&a.k, s.KVHeads * s.HeadDim}, {&a.v, s.KVHeads * s.HeadDim},
		{&a.gate, ff}, {&a.up, ff},
	} {
		var err error
		if *b.to, err = w.NewBuffer(tokens, b.width); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// multiply asks for up to three products of the same x.
func (a *Activations) multiply(d device.Ops, x device.Buffer, rows int, products ...device.Product) {
	d.MatMul(x, rows, a.products[:copy(a.products[:], products)])
}

// Forward adds the block's outputs to a.X for the rows of the batch and writes
// their keys and values for this layer.
func (b *Block) Forward(d device.Ops, layer int, batch *Batch, a *Activations) {
	n := batch.Tokens
	d.RMSNorm(a.norm, a.X, b.Vectors[model.AttnNorm], n, b.NormEps)
	a.multiply(d, a.norm, n, b.to(model.Q, a.q), b.to(model.K, a.k), b.to(model.V, a.v))
	batch.adapt(d, layer, a, a.norm, output{model.Q, a.q}, output{model.K, a.k}, output{model.V, a.v})
	d.Attend(a.attn, a.q, a.k, a.v, batch.Turn, layer, &b.Attention)
	a.multiply(d, a.attn, n, b.addTo(model.O, a.X))
	batch.adapt(d, layer, a, a.attn, output{model.O, a.X})

	d.RMSNorm(a.norm, a.X, b.Vectors[model.FFNorm], n, b.NormEps)
	if len(batch.Adapted) == 0 {
		d.FeedForward(a.norm, n, b.to(model.Gate, a.gate), b.to(model.Up, a.up), b.addTo(model.Down, a.X))
		return
	}
	a.multiply(d, a.norm, n, b.to(model.Gate, a.gate), b.to(model.Up, a.up))
	batch.adapt(d, layer, a, a.norm, output{model.Gate, a.gate}, output{model.Up, a.up})
	d.SwiGLU(a.gate, a.up, n)
	a.multiply(d, a.gate, n, b.addTo(model.Down, a.X))
	batch.adapt(d, layer, a, a.gate, output{model.Down, a.X})
}

// Head turns the last residual stream into logits.
type Head struct {
	Norm    device.Vector
	NormEps float32
	Out     device.Matrix
}

// Forward writes the logits [rows, vocabulary] of x [rows, hidden]; x is
// normalised in place.
func (h *Head) Forward(d device.Ops, a *Activations, logits, x device.Buffer, rows int) {
	d.RMSNorm(x, x, h.Norm, rows, h.NormEps)
	a.multiply(d, x, rows, device.Product{Out: logits, W: h.Out})
}
