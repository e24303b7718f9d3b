package engine

import (
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/nn"
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
		blocks:  nn.NewBlocks(w),
		head:    nn.NewHead(w),
	}
	if compute == Fast {
		if err := core.repack(threads); err != nil {
			return nil, err
		}
	}
	core.dev = cpu.New(set, threads)
	return core, nil
}

// repack lays the matrices out for products with int8 activations.
func (c *core) repack(threads int) error {
	all := []*nn.Linear{&c.head.Out}
	for i := range c.blocks {
		for r := range c.blocks[i].Linear {
			all = append(all, &c.blocks[i].Linear[r])
		}
	}
	var work errgroup.Group
	work.SetLimit(threads)
	for _, l := range all {
		if l.W.Rows == 0 {
			continue // a projection that the family does not have
		}
		work.Go(func() (err error) {
			l.Panel, err = kernel.Repack(l.W)
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return fmt.Errorf("%w; use exact compute", err)
	}
	return nil
}
