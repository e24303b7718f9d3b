package engine

import (
	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/nn"
)

// headRows is how many rows go through the output head at once: their logits
// are large, the vocabulary wide.
const headRows = 32

// workspace is all that a forward writes besides keys and values. One forward uses
// it at a time.
type workspace struct {
	*core
	device device.Workspace
	batch  int // rows that the buffers hold

	act    *nn.Activations
	turn   device.Rotation // [batch, headDim/2] each
	headIn device.Buffer   // [headRows, hidden]
	logits device.Buffer   // [headRows, vocabulary]

	// Kept from one forward to the next, so that decoding allocates nothing.
	adapted  []nn.Adapted
	toHead   []headRow
	cos, sin []float32 // of a row
	in       device.Input
	wanted   func() bool            // the chunk is
	blocks   func(device.Ops) error // runBlocks and runHead, bound once
	head     func(device.Ops) error
}

// newWorkspace allocates the buffers of forwards of up to batch rows at once, over
// spans of the storage.
func (c *core) newWorkspace(batch int, kv kvcache.Storage) (*workspace, error) {
	cfg := c.weights.Config
	dw, err := c.dev.NewWorkspace(kv)
	if err != nil {
		return nil, err
	}
	half := cfg.HeadDim / 2
	w := &workspace{core: c, device: dw, batch: batch, cos: make([]float32, half), sin: make([]float32, half)}
	w.blocks, w.head = w.runBlocks, w.runHead
	buffer := func(to *device.Buffer, rows, width int) {
		if err == nil {
			*to, err = dw.NewBuffer(rows, width)
		}
	}
	buffer(&w.turn.Cos, batch, half)
	buffer(&w.turn.Sin, batch, half)
	buffer(&w.headIn, headRows, cfg.Hidden)
	buffer(&w.logits, headRows, cfg.Vocab)
	if err == nil {
		w.act, err = nn.NewActivations(dw, batch, cfg.Hidden, cfg.FF, nn.AttendShape(cfg))
	}
	if err != nil {
		dw.Close()
		return nil, err
	}
	return w, nil
}
