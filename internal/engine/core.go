package engine

import (
	"sync"
	"time"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/nn"
)

// core is a model bound to a device. Nothing in it changes, so that any number of
// forwards may read it, each with a workspace of its own.
type core struct {
	dev     device.Device
	weights *model.Weights
	compute Compute
	loaded  *nn.Model
	damage  func() error // which weight is no number; the weights are read once
	loading time.Duration
}

// newCore loads the weights.
func newCore(w *model.Weights, dev device.Device, compute Compute) (*core, error) {
	start := time.Now()
	loaded, err := nn.Load(dev, w, compute)
	if err != nil {
		return nil, err
	}
	return &core{dev, w, compute, loaded, sync.OnceValue(w.CheckFinite), time.Since(start)}, nil
}
