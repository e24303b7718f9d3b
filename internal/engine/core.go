package engine

import (
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/nn"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// core is a model bound to a device. Nothing in it changes, so that any number of
// forwards may read it, each with a workspace of its own.
type core struct {
	weights *model.Weights
	compute Compute
	shape   cpu.AttendShape
	rope    nn.Rope
	blocks  []nn.Block
	head    nn.Head

	dev *cpu.Device
	// turn is held during a forward: a device does one operation at a time, in
	// scratch of its own, whichever workspace the operation is for.
	turn sync.Mutex
}

// newCore binds the weights, repacked where the compute wants that.
func newCore(w *model.Weights, set *kernel.Set, compute Compute, threads int) (*core, error) {
	c := w.Config
	core := &core{
		weights: w,
		compute: compute,
		shape:   cpu.AttendShape{Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim},
		rope:    nn.NewRope(c.RopeBase, c.HeadDim, c.RopeFactors),
		blocks:  make([]nn.Block, len(w.Layers)),
	}
	norm := func(m tensor.Matrix) nn.Norm { return nn.NewNorm(set, m, c.NormEps) }
	var work errgroup.Group
	work.SetLimit(threads)
	linear := func(to *nn.Linear, m tensor.Matrix) {
		to.W = m
		if compute == Fast {
			work.Go(func() (err error) {
				to.Panel, err = kernel.Repack(m)
				return err
			})
		}
	}
	for i, l := range w.Layers {
		b := &core.blocks[i]
		b.AttnNorm, b.FFNorm = norm(l.AttnNorm), norm(l.FFNorm)
		linear(&b.Q, l.Q)
		linear(&b.K, l.K)
		linear(&b.V, l.V)
		linear(&b.O, l.O)
		linear(&b.Gate, l.Gate)
		linear(&b.Up, l.Up)
		linear(&b.Down, l.Down)
	}
	core.head.Norm = norm(w.OutputNorm)
	linear(&core.head.Out, w.Head)
	if err := work.Wait(); err != nil {
		return nil, fmt.Errorf("%w; use exact compute", err)
	}
	core.dev = cpu.New(set, threads)
	return core, nil
}
