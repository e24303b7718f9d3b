package nn

import (
	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
)

// Adapter holds what an adapter changes, as a device has loaded it: the low-rank updates
// of every block's projections and, where it saved any, norms and a head of its own.
type Adapter struct {
	layers [][model.Projections]device.Factors // nil where a projection has none
	norms  [][model.Roles]device.Vector        // nil: none, and where the base's stays
	head   *Head                               // nil: the base's
}

// NewAdapter loads an adapter of the weights, which must not change afterwards; base is
// what the device has of them.
func NewAdapter(d device.Device, w *model.Weights, base *Model, a *lora.Adapter, compute device.Compute) (*Adapter, error) {
	loaded := &Adapter{layers: make([][model.Projections]device.Factors, len(a.Layers))}
	for i := range a.Layers {
		for t, f := range a.Layers[i] {
			if f == nil {
				continue
			}
			var err error
			if loaded.layers[i][t], err = d.LoadFactors(f.A, f.B, f.Rank, f.Scale); err != nil {
				return nil, err
			}
		}
	}
	if !a.Any() {
		return loaded, nil
	}
	l := loader{device: d, weights: w, compute: compute}
	head := base.Head
	for _, s := range a.Saved {
		switch s.Role {
		case model.Head:
		case model.OutputNorm:
			l.vector(&head.Scale, s.Matrix)
		case model.OutputNormBias:
			l.vector(&head.Bias, s.Matrix)
		default:
			if loaded.norms == nil {
				loaded.norms = make([][model.Roles]device.Vector, len(a.Layers))
			}
			l.vector(&loaded.norms[s.Layer][s.Role], s.Matrix)
		}
	}
	if own, ok := a.OwnHead(w); ok {
		l.matrix(&head.Out, model.Head, own)
	}
	if f := a.Head; f != nil {
		var err error
		if head.Update, err = d.LoadFactors(f.A, f.B, f.Rank, f.Scale); err != nil {
			return nil, err
		}
	}
	loaded.head = &head
	return loaded, l.work.Wait()
}

// norm returns the scale and bias of a norm of a layer: the adapter's own, or else the
// base's. own is whether any is the adapter's.
func (a *Adapter) norm(layer int, r model.Role, base scaleAndBias) (norm scaleAndBias, own bool) {
	if a.norms == nil {
		return base, false
	}
	mine := scaleAndBiasOf(&a.norms[layer], r)
	if norm = base; mine.scale != nil {
		norm.scale = mine.scale
	}
	if mine.bias != nil {
		norm.bias = mine.bias
	}
	return norm, mine.scale != nil || mine.bias != nil
}

// Head returns the adapter's own head, or nil.
func (a *Adapter) Head() *Head { return a.head }

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
