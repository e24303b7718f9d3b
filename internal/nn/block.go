// Package nn holds the blocks of a transformer, written over the operations of
// a device.
package nn

import (
	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/model"
)

// Block is one block of a decoder: attention with grouped queries, then a feed-forward
// with a gate or without, each behind a norm and added to the residual stream. What a
// family leaves out is nil.
type Block struct {
	Matrices   [model.Projections]device.Matrix
	Vectors    [model.Roles]device.Vector // the other tensors of the block
	Norm       Norm
	After      bool // norms stand behind the sums instead
	Activation device.Activation
	Rope       int // of the model's; -1: none
	Attention  device.Attention
}

// to returns the product of a projection into a buffer.
func (b *Block) to(r model.Role, out device.Buffer) device.Product {
	return device.Product{Out: out, W: b.Matrices[r], Bias: b.Vectors[r.Bias()]}
}

// Batch is what the rows of one forward have in common for all layers.
type Batch struct {
	Tokens  int
	Turns   []device.Rotation // by the rows' positions, one for each of the model's ropes
	Adapted []Adapted         // the rows that adapters change; nil: none
}

// Activations are the buffers of a forward, for up to some number of tokens.
type Activations struct {
	X         device.Buffer // residual stream [tokens, hidden]
	Embedded  device.Buffer // embeddings [tokens, embedding's width]: X itself where that is as wide
	Projected device.Buffer // [head's rows, embedding's width]; nil where that is as wide

	norm     device.Buffer // [tokens, hidden]
	q, attn  device.Buffer // [tokens, heads·headDim]
	k, v     device.Buffer // [tokens, kvHeads·headDim]
	gate, up device.Buffer // [tokens, ff]

	// Kept so that asking for an operation allocates nothing.
	products [3]device.Product
	updates  [3]device.Update
}

// NewActivations returns buffers of the workspace for forwards of up to tokens rows, and
// heads of up to headRows.
func NewActivations(w device.Workspace, tokens, headRows int, c model.Config) (*Activations, error) {
	a := &Activations{}
	s := c.Attention(0)
	buffers := []struct {
		to          *device.Buffer
		rows, width int
	}{
		{&a.X, tokens, c.Hidden}, {&a.norm, tokens, c.Hidden},
		{&a.q, tokens, s.Heads * s.HeadDim}, {&a.attn, tokens, s.Heads * s.HeadDim},
		{&a.k, tokens, s.KVHeads * s.HeadDim}, {&a.v, tokens, s.KVHeads * s.HeadDim},
		{&a.gate, tokens, c.FF}, {&a.up, tokens, c.FF},
		{&a.Embedded, tokens, c.Embedded()}, {&a.Projected, headRows, c.Embedded()},
	}
	same := c.Embedded() == c.Hidden
	if same {
		buffers = buffers[:len(buffers)-2]
	}
	for _, b := range buffers {
		var err error
		if *b.to, err = w.NewBuffer(b.rows, b.width); err != nil {
			return nil, err
		}
	}
	if same {
		a.Embedded = a.X
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
	x := b.before(d, layer, batch, a, model.AttnNorm)
	a.multiply(d, x, n, b.to(model.Q, a.q), b.to(model.K, a.k), b.to(model.V, a.v))
	batch.adapt(d, layer, a, x, output{model.Q, a.q}, output{model.K, a.k}, output{model.V, a.v})
	if b.Vectors[model.QNorm] != nil {
		b.norm(d, layer, batch, a.q, a.q, model.QNorm, b.Attention.Heads)
		b.norm(d, layer, batch, a.k, a.k, model.KNorm, b.Attention.KVHeads)
	}
	var turn device.Rotation
	if b.Rope >= 0 {
		turn = batch.Turns[b.Rope]
	}
	d.Attend(a.attn, a.q, a.k, a.v, turn, layer, &b.Attention)
	sum := b.sum(model.O, model.PostAttnNorm, a)
	a.multiply(d, a.attn, n, sum)
	batch.adapt(d, layer, a, a.attn, output{model.O, sum.Out})
	b.after(d, layer, batch, a, sum, model.PostAttnNorm, model.AttnNorm)

	x = b.before(d, layer, batch, a, model.FFNorm)
	sum = b.sum(model.Down, model.PostFFNorm, a)
	gate, up := b.to(model.Gate, a.gate), b.to(model.Up, a.up)
	switch {
	case gate.W == nil:
		up.Out = a.gate
		a.multiply(d, x, n, up)
		batch.adapt(d, layer, a, x, output{model.Up, a.gate})
		d.Activate(b.Activation, a.gate, nil, n)
		a.multiply(d, a.gate, n, sum)
	case len(batch.Adapted) == 0:
		d.FeedForward(b.Activation, x, n, gate, up, sum)
	default:
		a.multiply(d, x, n, gate, up)
		batch.adapt(d, layer, a, x, output{model.Gate, a.gate}, output{model.Up, a.up})
		d.Activate(b.Activation, a.gate, a.up, n)
		a.multiply(d, a.gate, n, sum)
	}
	batch.adapt(d, layer, a, a.gate, output{model.Down, sum.Out})
	b.after(d, layer, batch, a, sum, model.PostFFNorm, model.FFNorm)
}

// before returns what attention or the feed-forward reads: the residual stream behind
// its norm, or where norms stand behind the sums, the stream itself.
func (b *Block) before(d device.Ops, layer int, batch *Batch, a *Activations, norm model.Role) device.Buffer {
	if b.After {
		return a.X
	}
	b.norm(d, layer, batch, a.norm, a.X, norm, 1)
	return a.norm
}

// norm normalises the rows of the batch, several in a buffer's row, by a norm of the
// block or, where an adapter has one of its own, by that.
func (b *Block) norm(d device.Ops, layer int, batch *Batch, dst, x device.Buffer, r model.Role, several int) {
	base := scaleAndBiasOf(&b.Vectors, r)
	rows := func(v scaleAndBias, from, to int) {
		if from < to {
			b.Norm.to(d, dst, x, v.scale, v.bias, from*several, (to-from)*several)
		}
	}
	done := 0
	for _, run := range batch.Adapted {
		if own, ok := run.Adapter.norm(layer, r, base); ok {
			rows(base, done, run.First)
			done = run.First + run.Count
			rows(own, run.First, done)
		}
	}
	rows(base, done, batch.Tokens)
}

// scaleAndBias are the vectors of a norm; those that it does without are nil.
type scaleAndBias struct{ scale, bias device.Vector }

func scaleAndBiasOf(vectors *[model.Roles]device.Vector, r model.Role) scaleAndBias {
	v := scaleAndBias{scale: vectors[r]}
	if r == model.AttnNorm || r == model.FFNorm {
		v.bias = vectors[r.Bias()]
	}
	return v
}

// sum returns the product that ends attention or the feed-forward: added to the residual
// stream, or where a norm stands between, for that.
func (b *Block) sum(r, post model.Role, a *Activations) device.Product {
	p := b.to(r, a.X)
	if p.Add = b.Vectors[post] == nil; !p.Add {
		p.Out = a.norm
	}
	return p
}

// after ends what sum began.
func (b *Block) after(d device.Ops, layer int, batch *Batch, a *Activations, sum device.Product, post, norm model.Role) {
	if !sum.Add {
		b.norm(d, layer, batch, a.norm, a.norm, post, 1)
		d.Add(a.X, a.norm, batch.Tokens)
	}
	if b.After {
		b.norm(d, layer, batch, a.X, a.X, norm, 1)
	}
}
