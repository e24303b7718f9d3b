package nn

import (
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// Model is a model's weights as a device has loaded them. Nothing in it changes.
type Model struct {
	Embedding device.Table
	Rope      Rope
	Blocks    []Block
	Head      Head
}

// AttendShape returns how a model's heads are laid out.
func AttendShape(c model.Config) device.AttendShape {
	return device.AttendShape{Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim}
}

// Load loads a model's weights for a compute, on as many threads as the device has.
func Load(d device.Device, w *model.Weights, compute device.Compute) (*Model, error) {
	c := w.Config
	m := &Model{Rope: NewRope(c.RopeBase, c.HeadDim, c.RopeFactors), Blocks: make([]Block, len(w.Layers))}
	l := loader{device: d, compute: compute}
	l.work.SetLimit(max(1, d.Info().Threads))
	attention := device.NewAttention(AttendShape(c))
	attention.Window = c.Window
	for i := range m.Blocks {
		b := &m.Blocks[i]
		b.NormEps, b.Attention = c.NormEps, attention
		for _, t := range c.Block() {
			stored := w.Layers[i][t.Role]
			switch {
			case stored.Rows == 0: // optional, and absent
			case t.Role.Projection():
				l.matrix(&b.Matrices[t.Role], stored)
			default:
				l.vector(&b.Vectors[t.Role], stored)
			}
		}
	}
	m.Head.NormEps = c.NormEps
	l.vector(&m.Head.Norm, w.Tensors[model.OutputNorm])
	l.matrix(&m.Head.Out, w.Tensors[model.Head])
	l.work.Go(func() (err error) {
		m.Embedding, err = d.LoadTable(w.Tensors[model.Embedding])
		return err
	})
	return m, l.work.Wait()
}

// loader loads tensors side by side: what it writes to is there when work has ended.
type loader struct {
	device  device.Device
	compute device.Compute
	work    errgroup.Group
}

func (l *loader) matrix(to *device.Matrix, stored tensor.Matrix) {
	l.work.Go(func() (err error) {
		if *to, err = l.device.LoadMatrix(stored, l.compute); err != nil && l.compute == device.Fast {
			err = fmt.Errorf("%w; use exact compute", err)
		}
		return err
	})
}

func (l *loader) vector(to *device.Vector, stored tensor.Matrix) {
	l.work.Go(func() (err error) {
		*to, err = l.device.LoadVector(stored)
		return err
	})
}
