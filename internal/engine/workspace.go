package engine

import (
	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/nn"
)

// headRows is how many rows go through the output head at once: their logits
// are large, the vocabulary wide.
const headRows = 32

// workspace is all that a forward writes besides keys and values. One forward uses
// it at a time.
type workspace struct {
	*core
	kv      *cpu.KV // where its forwards write keys and values
	batch   int     // rows that the buffers hold
	act     *nn.Activations
	cos     []float32 // [batch, headDim/2]
	sin     []float32
	rows    []cpu.Rows
	adapted []nn.Adapted
	toHead  []headRow
	headIn  []float32 // [headRows, hidden]
	logits  []float32 // [headRows, vocabulary], as many rows as were ever wanted at once
}

// newWorkspace allocates the buffers of forwards of up to batch rows at once.
func (c *core) newWorkspace(batch int, kv *cpu.KV) *workspace {
	cfg := c.weights.Config
	return &workspace{
		core:   c,
		kv:     kv,
		batch:  batch,
		act:    nn.NewActivations(batch, cfg.Hidden, cfg.FF, c.shape),
		cos:    make([]float32, batch*cfg.HeadDim/2),
		sin:    make([]float32, batch*cfg.HeadDim/2),
		headIn: make([]float32, headRows*cfg.Hidden),
	}
}
