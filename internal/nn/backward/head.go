package backward

import (
	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// Head turns the last residual stream into logits by a norm, unless Scale is nil, a
// projection, unless that has no rows, and the weights Out [vocabulary, width].
type Head struct {
	Norm
	Scale, Bias []float32
	Project     tensor.Matrix
	Out         tensor.Matrix
	Cap         float32 // logits are Cap · tanh(logit/Cap); 0: as they are
}

// NewHead binds the head of a model.
func NewHead(w *model.Weights) Head {
	c := w.Config
	h := Head{Norm: Norm{Eps: c.NormEps, Centred: c.LayerNorm}, Project: w.Tensors[model.ProjectOut], Out: w.Tensors[model.Head], Cap: c.LogitCap}
	for _, v := range []struct {
		to   *[]float32
		role model.Role
	}{{&h.Scale, model.OutputNorm}, {&h.Bias, model.OutputNormBias}} {
		if m := w.Tensors[v.role]; m.Rows > 0 {
			*v.to = quant.Vector(m)
		}
	}
	return h
}

// Loss returns Σ -log p of the targets (natural logarithm), one for each row of the
// last residual stream x [rows, hidden]. Unless dx is nil it sets that to scale times
// the gradient of the sum. logits [rows, vocabulary] is memory that it may use.
func (h *Head) Loss(d *cpu.Backward, dx, x, logits []float32, targets []int32, scale float32) float64 {
	rows, vocabulary := len(targets), h.Out.Rows
	hidden := h.Out.Cols
	if h.Project.Rows > 0 {
		hidden = h.Project.Cols
	}
	stream := x[:rows*hidden]
	if h.Scale != nil {
		normed := make([]float32, rows*hidden)
		h.forward(d, normed, x, h.Scale, h.Bias, rows)
		stream = normed
	}
	if h.Project.Rows > 0 {
		projected := make([]float32, rows*h.Project.Rows)
		d.MatMulForward(projected, stream, rows, h.Project)
		stream = projected
	}
	logits = logits[:rows*vocabulary]
	clear(logits)
	d.MatMulForward(logits, stream, rows, h.Out)
	var capped []float32
	if h.Cap > 0 {
		d.SoftCap(logits, rows, vocabulary, h.Cap)
		if dx != nil {
			capped = append(capped, logits...)
		}
	}
	loss := d.CrossEntropy(logits, targets, vocabulary, scale)
	if dx == nil {
		return loss
	}
	if h.Cap > 0 {
		d.SoftCapBackward(logits, capped, rows, vocabulary, h.Cap)
	}
	slope := make([]float32, rows*h.Out.Cols)
	d.MatMulBackward(slope, logits, rows, h.Out)
	if h.Project.Rows > 0 {
		projected := slope
		slope = make([]float32, rows*hidden)
		d.MatMulBackward(slope, projected, rows, h.Project)
	}
	if h.Scale == nil {
		copy(dx, slope)
		return loss
	}
	clear(dx[:rows*hidden])
	h.backward(d, dx, slope, x, h.Scale, rows)
	return loss
}
