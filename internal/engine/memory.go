package engine

import (
	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/nn"
)

// Memory is what an engine takes besides the mapped file of the weights, in bytes.
type Memory struct {
	Weights int64 // matrices as the device lays them out, or as they were rounded
	KV      int64 // keys and values of a context
	Work    int64 // buffers of forwards
}

// Memory says what an engine with these options takes for a text of so many positions,
// before anything is loaded.
func (o Options) Memory(w *model.Weights, context int) (Memory, error) {
	dev, o, err := openDevice(w, o)
	if err != nil {
		return Memory{}, err
	}
	defer dev.Close()
	return o.memoryOn(dev, w, context)
}

// memoryOn is Memory on a device.
func (o Options) memoryOn(dev device.Device, w *model.Weights, context int) (Memory, error) {
	compute, err := ParseCompute(string(o.Compute))
	if err != nil {
		return Memory{}, err
	}
	kv, err := o.KVFormat(w.Config)
	if err != nil {
		return Memory{}, err
	}
	m := Memory{KV: int64(KVShape(w.Config, kv).TokenBytes()) * int64(context)}
	for s, stored := range w.All() {
		r := s.Role
		if stored.Rows == 0 || !r.Projection() && r != model.Head && r != model.ProjectIn && r != model.ProjectOut {
			continue
		}
		loaded, own := w.AsProduct(r, *stored)
		switch bytes := dev.MatrixBytes(loaded, compute); {
		case bytes > 0:
			m.Weights += bytes
		case own:
			m.Weights += int64(loaded.Rows) * int64(loaded.RowBytes())
		}
	}
	counted := &counter{}
	if _, err := nn.NewActivations(counted, o.rows(dev), headRows, w.Config); err != nil {
		return m, err
	}
	m.Work = 4 * (counted.numbers + headRows*int64(w.Config.Hidden+w.Config.Vocab))
	return m, nil
}

// counter is a workspace that counts the numbers of its buffers and makes none.
type counter struct {
	device.Workspace
	numbers int64
}

// NewBuffer counts.
func (c *counter) NewBuffer(rows, width int) (device.Buffer, error) {
	c.numbers += int64(rows) * int64(width)
	return nil, nil
}
