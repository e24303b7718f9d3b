package backward

import "github.com/flashback-lm/flashback/internal/device/cpu"

// Loss returns Σ -log p of the targets (natural logarithm), one for each row of the
// last residual stream x [rows, hidden]. Unless dx is nil it sets that to scale times
// the gradient of the sum. logits [rows, vocabulary] is memory that it may use.
func (h *Head) Loss(d *cpu.Backward, dx, x, logits []float32, targets []int32, scale float32) float64 {
	rows, hidden, vocabulary := len(targets), h.Out.Cols, h.Out.Rows
	norm := make([]float32, rows*hidden)
	d.RMSNorm(norm, x, h.Norm, rows, h.NormEps)
	logits = logits[:rows*vocabulary]
	clear(logits)
	d.MatMulForward(logits, norm, rows, h.Out)
	loss := d.CrossEntropy(logits, targets, vocabulary, scale)
	if dx != nil {
		clear(norm)
		d.MatMulBackward(norm, logits, rows, h.Out)
		clear(dx[:rows*hidden])
		d.RMSNormBackward(dx, norm, x, h.Norm, rows, h.NormEps)
	}
	return loss
}
