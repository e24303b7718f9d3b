package nn

import (
	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
)

// Adapter holds the low-rank updates of every block's projections, as a forward
// reads them.
type Adapter struct {
	layers [][model.Projections]cpu.LowRank // rank 0 where a projection has none
}

// NewAdapter returns the updates of the weights, whose A it shares.
func NewAdapter(w *lora.Weights) *Adapter {
	a := &Adapter{layers: make([][model.Projections]cpu.LowRank, len(w.Layers))}
	for i := range w.Layers {
		for t, f := range w.Layers[i] {
			if f != nil {
				a.layers[i][t] = cpu.LowRank{
					Rank: f.Rank, In: f.In, Width: f.Out, Scale: f.Scale,
					A: f.A, BT: cpu.Transpose(nil, f.B, f.Out, f.Rank),
				}
			}
		}
	}
	return a
}

// Adapted is a run of rows of a batch with the adapter that changes them.
type Adapted struct {
	First, Count int
	Adapter      *Adapter
}

// output is the product of a projection [tokens, width].
type output struct {
	target model.Role
	out    []float32
}

// adapt adds the updates of the batch's adapters to products of x. Rows of
// different adapters, and rows of none, may stand side by side.
func (b *Batch) adapt(d *cpu.Device, layer int, x []float32, outputs ...output) {
	for _, run := range b.Adapted {
		var updates [3]cpu.LowRank
		n, in := 0, 0
		for _, o := range outputs {
			if u := run.Adapter.layers[layer][o.target]; u.Rank > 0 {
				u.Out = o.out[run.First*u.Width:]
				updates[n], in = u, u.In
				n++
			}
		}
		if n > 0 {
			d.AddLowRank(x[run.First*in:], run.Count, updates[:n]...)
		}
	}
}
