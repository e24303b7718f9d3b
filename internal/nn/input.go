package nn

import "github.com/flashback-lm/flashback/internal/device"

// Input turns tokens into the residual stream.
type Input struct {
	Embedding device.Table
	Scale     float32       // of embeddings; 0: 1
	Positions device.Table  // learned positions, which are added; nil: none
	Project   device.Matrix // from the embedding's width to the stream's; nil: they are the same
}

// Forward writes the residual stream of so many tokens to a.X. Rows of tokens below 0
// have their embedding in a.Embedded already.
func (in *Input) Forward(d device.Ops, a *Activations, tokens int) {
	d.Embed(a.Embedded, in.Embedding)
	if in.Scale > 0 {
		d.Scale(a.Embedded, tokens, in.Scale)
	}
	if in.Project != nil {
		a.multiply(d, a.Embedded, tokens, device.Product{Out: a.X, W: in.Project})
	}
	if in.Positions != nil {
		d.AddPositions(a.X, in.Positions)
	}
}

// Head turns the last residual stream into logits.
type Head struct {
	Norm
	Scale, Bias device.Vector // of the norm; nil: there is none
	Project     device.Matrix // to the embedding's width; nil: it is the stream's
	Out         device.Matrix
	Update      device.Factors // an adapter's, of the product with Out; nil: none
	Cap         float32        // logits are Cap · tanh(logit/Cap); 0: as they are
}

// Forward writes the logits [rows, vocabulary] of x [rows, hidden]; x is normalised in
// place.
func (h *Head) Forward(d device.Ops, a *Activations, logits, x device.Buffer, rows int) {
	if h.Scale != nil {
		h.to(d, x, x, h.Scale, h.Bias, 0, rows)
	}
	if h.Project != nil {
		a.multiply(d, x, rows, device.Product{Out: a.Projected, W: h.Project})
		x = a.Projected
	}
	a.multiply(d, x, rows, device.Product{Out: logits, W: h.Out})
	if h.Update != nil {
		d.AddLowRank(x, 0, rows, append(a.updates[:0], device.Update{Out: logits, Factors: h.Update}))
	}
	if h.Cap > 0 {
		d.SoftCap(logits, rows, h.Cap)
	}
}

// Norm is how a model's norms compute.
type Norm struct {
	Eps     float32
	Centred bool // LayerNorm; else by the root mean square
}

// to normalises rows of x, of the scale's width, into dst.
func (n *Norm) to(d device.Ops, dst, x device.Buffer, scale, bias device.Vector, first, rows int) {
	if n.Centred {
		d.LayerNorm(dst, x, scale, bias, first, rows, n.Eps)
	} else {
		d.RMSNorm(dst, x, scale, first, rows, n.Eps)
	}
}
