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
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// Block is a block of a decoder with its weights as they are stored, and those that are
// vectors as numbers too. What a family leaves out has no rows, and nil numbers.
type Block struct {
	Weights    model.Tensors
	Vectors    [model.Roles][]float32
	Norm       Norm
	After      bool // norms stand behind the sums
	Activation device.Activation
	Rope       int // of Pass.Turns; -1: none
	Attention  device.Attention
}

// NewBlocks binds the blocks of a model.
func NewBlocks(w *model.Weights) []Block {
	c := w.Config
	blocks := make([]Block, len(w.Layers))
	for i := range blocks {
		b := &blocks[i]
		b.Weights, b.Norm = w.Layers[i], Norm{Eps: c.NormEps, Centred: c.LayerNorm}
		b.After, b.Activation, b.Rope, b.Attention = c.NormAfter, c.Activation, c.RopeOf(i), c.Attention(i)
		for _, t := range c.Block() {
			if !t.Role.Projection() && w.Layers[i][t.Role].Rows > 0 {
				b.Vectors[t.Role] = quant.Vector(w.Layers[i][t.Role])
			}
		}
	}
	return blocks
}

// Norm is how a model's norms compute.
type Norm struct {
	Eps     float32
	Centred bool // LayerNorm; else by the root mean square
}

// forward normalises rows of x into dst.
func (n Norm) forward(d *cpu.Backward, dst, x, scale, bias []float32, rows int) {
	if n.Centred {
		d.LayerNorm(dst, x, scale, bias, rows, n.Eps)
	} else {
		d.RMSNorm(dst, x, scale, rows, n.Eps)
	}
}

// backward adds to dx the gradient of x, given that of what forward made of it.
func (n Norm) backward(d *cpu.Backward, dx, dy, x, scale []float32, rows int) {
	if n.Centred {
		d.LayerNormBackward(dx, dy, x, scale, rows, n.Eps)
	} else {
		d.RMSNormBackward(dx, dy, x, scale, rows, n.Eps)
	}
}

// Pass is what the rows of one training step have in common for all layers, and the
// buffers that all layers share. The rows see each other as the segments say.
type Pass struct {
	Device    *cpu.Backward
	Rows      int
	From      int          // rows before it are the frozen model's: no factor, no gradient
	Turns     []cpu.Angles // of the rows, by each of the model's ropes
	Segments  []cpu.Segment
	Positions []int  // of the rows
	Beside    []bool // rows of virtual evidence, see cpu.Flat
	Dropout   Dropout

	norm, dNorm     []float32 // [Rows, hidden]
	post, dPost     []float32 // [Rows, hidden] of a norm behind a sum
	dQ, dAttn       []float32 // [Rows, heads·headDim]
	dK, dV          []float32 // [Rows, kvHeads·headDim]
	dRaw            []float32 // of queries or keys in front of their norm
	ff, dGate       []float32 // [Rows, ff]
	spare           []float32 // [Rows, ff]
	back            []float32 // the sines negated
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
	gate, up []float32 // [rows, ff]; without a gate, up alone

	// Of some families only.
	rawQ, rawK []float32    // queries and keys in front of their norms
	sums       [2][]float32 // [rows, hidden]: what attention and feed-forward give, in front of the norm behind that; or the streams with them, in front of theirs
}

// TapeFloats returns how many numbers of a tape a row takes at most, besides X.
func TapeFloats(c model.Config) int {
	return 4*(c.Heads+c.KVHeads)*c.HeadDim + c.Heads + 3*c.Hidden + 2*c.FF
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
