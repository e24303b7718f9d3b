package nn

import (
	"golang.org/x/sync/errgroup"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// Model is a model's weights as a device has loaded them. Nothing in it changes.
type Model struct {
	Input Input
	Ropes []Rope // which blocks refer to
	// LongRopes are Ropes for long texts; nil: they are the same.
	LongRopes []Rope
	Blocks    []Block
	Head      Head
}

// Load loads a model's weights for a compute, on as many threads as the device has.
func Load(d device.Device, w *model.Weights, compute device.Compute) (*Model, error) {
	c := w.Config
	m := &Model{Blocks: make([]Block, len(w.Layers))}
	for _, r := range c.Ropes() {
		m.Ropes = append(m.Ropes, NewRope(r))
	}
	for _, r := range c.LongRopes() {
		m.LongRopes = append(m.LongRopes, NewRope(r))
	}
	l := loader{device: d, weights: w, compute: compute}
	l.work.SetLimit(max(1, d.Info().Threads))
	for i := range m.Blocks {
		b := &m.Blocks[i]
		b.Norm = Norm{Eps: c.NormEps, Centred: c.LayerNorm}
		b.After, b.Activation, b.Rope, b.Attention = c.NormAfter, c.Activation, c.RopeOf(i), c.Attention(i)
		for _, t := range c.Block() {
			stored := w.Layers[i][t.Role]
			switch {
			case stored.Rows == 0: // optional, and absent
			case t.Role.Projection():
				l.matrix(&b.Matrices[t.Role], t.Role, stored)
			default:
				l.vector(&b.Vectors[t.Role], stored)
			}
		}
	}
	l.table(&m.Input.Embedding, w.Tensors[model.Embedding])
	l.table(&m.Input.Positions, w.Tensors[model.PositionTable])
	l.matrix(&m.Input.Project, model.ProjectIn, w.Tensors[model.ProjectIn])
	m.Input.Scale = c.EmbedScale
	m.Head.Cap, m.Head.Norm = c.LogitCap, Norm{Eps: c.NormEps, Centred: c.LayerNorm}
	l.vector(&m.Head.Scale, w.Tensors[model.OutputNorm])
	l.vector(&m.Head.Bias, w.Tensors[model.OutputNormBias])
	l.matrix(&m.Head.Project, model.ProjectOut, w.Tensors[model.ProjectOut])
	l.matrix(&m.Head.Out, model.Head, w.Tensors[model.Head])
	return m, l.work.Wait()
}

// loader loads tensors side by side: what it writes to is there when work has ended.
// Tensors that the model lacks stay nil.
type loader struct {
	device  device.Device
	weights *model.Weights
	compute device.Compute
	work    errgroup.Group
}

func (l *loader) matrix(to *device.Matrix, r model.Role, stored tensor.Matrix) {
	if stored.Rows == 0 {
		return
	}
	l.work.Go(func() error {
		m, err := l.weights.Product(r, stored)
		if err == nil {
			*to, err = l.device.LoadMatrix(m, l.compute)
		}
		return err
	})
}

func (l *loader) vector(to *device.Vector, stored tensor.Matrix) {
	if stored.Rows == 0 {
		return
	}
	l.work.Go(func() (err error) {
		*to, err = l.device.LoadVector(stored)
		return err
	})
}

func (l *loader) table(to *device.Table, stored tensor.Matrix) {
	if stored.Rows == 0 {
		return
	}
	l.work.Go(func() (err error) {
		*to, err = l.device.LoadTable(stored)
		return err
	})
}
