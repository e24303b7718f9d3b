package nn

import (
	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
)

// Adapter holds the low-rank updates of every block's projections, as a device has
// loaded them.
type Adapter struct {
	layers [][model.Projections]device.Factors // nil where a projection has none
}

// NewAdapter loads the updates of the weights, which must not change afterwards.
func NewAdapter(d device.Device, w *lora.Weights) (*Adapter, error) {
	a := &Adapter{layers: make([][model.Projections]device.Factors, len(w.Layers))}
	for i := range w.Layers {
		for t, f := range w.Layers[i] {
			if f == nil {
				continue
			}
			var err error
			if a.layers[i][t], err = d.LoadFactors(f.A, f.B, f.Rank, f.Scale); err != nil {
				return nil, err
			}
		}
	}
	return a, nil
}

// Adapted is a run of rows of a batch with the adapter that changes them.
type Adapted struct {
	First, Count int
	Adapter      *Adapter
}

// output is the product of a projection [tokens, width].
type output struct {
	target model.Role
	out    device.Buffer
}

// adapt adds the updates of the batch's adapters to products of x. Rows of
// different adapters, and rows of none, may stand side by side.
func (b *Batch) adapt(d device.Ops, layer int, a *Activations, x device.Buffer, outputs ...output) {
	for _, run := range b.Adapted {
		updates := a.updates[:0]
		for _, o := range outputs {
			if f := run.Adapter.layers[layer][o.target]; f != nil {
				updates = append(updates, device.Update{Out: o.out, Factors: f})
			}
		}
		if len(updates) > 0 {
			d.AddLowRank(x, run.First, run.Count, updates)
		}
	}
}
