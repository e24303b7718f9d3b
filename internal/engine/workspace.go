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
	// chooser is the workspace too, where its device chooses tokens; else nil.
	chooser device.Chooser
	batch   int // rows that the buffers hold

	act    *nn.Activations
	turns  []device.Rotation // of each rope of the model [batch, pairs]
	headIn device.Buffer     // [headRows, hidden]
	logits device.Buffer     // [headRows, vocabulary]

	// Kept from one forward to the next, so that decoding allocates nothing.
	adapted          []nn.Adapted
	toHead           []headRow
	ropes, longRopes []nn.Turns
	in               device.Input
	wanted           func() bool            // the chunk is
	ownHead          *nn.Head               // of the adapter whose rows go through the head; nil: the model's
	blocks           func(device.Ops) error // runBlocks and runHead, bound once
	head             func(device.Ops) error
}

// newWorkspace allocates the buffers of forwards of up to batch rows at once, over
// spans of the storage.
func (c *core) newWorkspace(batch int, kv kvcache.Storage) (*workspace, error) {
	cfg := c.weights.Config
	dw, err := c.dev.NewWorkspace(kv)
	if err != nil {
		return nil, err
	}
	w := &workspace{core: c, device: dw, batch: batch, turns: make([]device.Rotation, len(c.loaded.Ropes))}
	w.chooser, _ = dw.(device.Chooser)
	w.blocks, w.head = w.runBlocks, w.runHead
	buffer := func(to *device.Buffer, rows, width int) {
		if err == nil {
			*to, err = dw.NewBuffer(rows, width)
		}
	}
	for _, r := range c.loaded.LongRopes {
		w.longRopes = append(w.longRopes, nn.Turns{Rope: r})
	}
	for i, r := range c.loaded.Ropes {
		w.ropes = append(w.ropes, nn.Turns{Rope: r})
		buffer(&w.turns[i].Cos, batch, r.Pairs())
		buffer(&w.turns[i].Sin, batch, r.Pairs())
	}
	buffer(&w.headIn, headRows, cfg.Hidden)
	buffer(&w.logits, headRows, cfg.Vocab)
	if err == nil {
		w.act, err = nn.NewActivations(dw, batch, headRows, cfg)
	}
	if err != nil {
		dw.Close()
		return nil, err
	}
	return w, nil
}
