// Package engine owns a model on a device: its weights, the KV cache, and the
// forward over spans and views that every placement is made of.
package engine

import (
	"fmt"
	"time"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
)

// Options configure an engine; the zero value is a good default.
type Options struct {
	// Device is what computes: auto, cpu, cuda or cuda:N; "": DefaultDevice.
	Device  string
	Float8  bool   // a card rounds all matrices but the head to 8 bits, with a scale a row
	Threads int    // threads; 0: one a core
	Kernels string // compute path by name; "": the fastest that the processor has
	Compute Compute
	KV      string // how keys and values are stored: f32, f16, i16 or q8; "": see KVFormat
	// Reserve is where the text starts in a model with learned positions, with virtual
	// evidence in front of it; 0: placement.DefaultReserve.
	Reserve  int
	KVBudget int64 // bytes for keys and values, kept evidence included; 0: see DefaultKVBudget
	// BatchTokens is how many rows a forward computes at once; 0: 256, or what the device is
	// fast at. Results do not depend on it, memory and speed do.
	BatchTokens int
}

// Compute says how numbers are rounded; see package device.
type Compute = device.Compute

// The computes.
const (
	Exact = device.Exact // keys and values are f32 unless Options.KV says otherwise
	Fast  = device.Fast  // keys and values have 16 bits unless Options.KV says otherwise

	// DefaultCompute is within 0.3 % of exact perplexity on WikiText-2
	// (docs/performance.md).
	DefaultCompute = Fast
)

// defaultBatch is Options.BatchTokens where that is 0 and the device does not care.
const defaultBatch = 256

// rows returns Options.BatchTokens, or its default on a device.
func (o Options) rows(d device.Device) int {
	switch {
	case o.BatchTokens > 0:
		return o.BatchTokens
	case d.Info().Rows > 0:
		return d.Info().Rows
	}
	return defaultBatch
}

// ParseCompute returns the compute of that name; "" is the default.
func ParseCompute(name string) (Compute, error) {
	switch c := Compute(name); c {
	case "":
		return DefaultCompute, nil
	case Exact, Fast:
		return c, nil
	}
	return "", fmt.Errorf("unknown compute %q: use %s or %s", name, Exact, Fast)
}

// Engine computes with one model. It is safe for concurrent use: sequences that
// compute at the same time share forwards.
type Engine struct {
	*core
	batch *batch // of its forwards
	pool  *kvcache.Pool
	start int   // Options.Reserve
	queue queue // for pages
	// What is kept for reuse; nil keeps none.
	kept       *keptSpans // virtual evidence
	beginnings *beginnings
	readings   *readings
	// tamper plants faults; only tests set it.
	tamper func(*stride, *plan)
}

// New returns an engine for the weights, which it reads but does not own.
func New(w *model.Weights, opt Options) (*Engine, error) {
	if opt.Reserve == 0 {
		opt.Reserve = placement.DefaultReserve
	}
	if n := w.Config.Positions; n > 0 && (opt.Reserve < 1 || opt.Reserve >= n) {
		return nil, fmt.Errorf("a reserve of %d positions in front of the text: the model has %d", opt.Reserve, n)
	}
	compute, err := ParseCompute(string(opt.Compute))
	if err != nil {
		return nil, err
	}
	dev, opt, err := openDevice(w, opt)
	if err != nil {
		return nil, err
	}
	// The format that the device reads fastest, and the memory that it takes, are known now.
	kv, err := opt.KVFormat(w.Config)
	if err == nil {
		opt.KVBudget, err = opt.budget(w.Config)
	}
	if err != nil {
		dev.Close()
		return nil, err
	}
	e, err := newEngine(w, dev, compute, KVShape(w.Config, kv), opt)
	if err != nil {
		dev.Close()
		return nil, err
	}
	return e, nil
}

func newEngine(w *model.Weights, dev device.Device, compute Compute, shape kvcache.Shape, opt Options) (*Engine, error) {
	pages, err := shape.Pages(opt.KVBudget)
	if err != nil {
		return nil, err
	}
	storage, err := dev.NewKV(shape, pages)
	if err != nil {
		return nil, err
	}
	c, err := newCore(w, dev, compute)
	if err != nil {
		return nil, err
	}
	work, err := c.newWorkspace(opt.rows(dev), storage)
	if err != nil {
		return nil, err
	}
	e := &Engine{core: c, batch: newBatch(work), pool: kvcache.NewPool(storage), start: opt.Reserve, kept: newKeptSpans(), beginnings: newBeginnings(), readings: newReadings()}
	e.pool.OnFull(e.evict)
	return e, nil
}

// Close gives back what the engine has on its device, and the device.
func (e *Engine) Close() {
	e.batch.work.device.Close()
	e.dev.Close()
}

// Config returns the shape of the model.
func (e *Engine) Config() model.Config { return e.weights.Config }

// Place returns a placement as this engine's model has it: where its text starts.
func (e *Engine) Place(p placement.Placement) placement.Placement {
	return p.For(e.weights.Config.Positions > 0, e.start)
}

// Compute returns how the engine rounds.
func (e *Engine) Compute() Compute { return e.compute }

// Device returns the device, for its counters.
func (e *Engine) Device() device.Device { return e.dev }

// Loading returns how many bytes of stored weights the device was given, and how long that
// took.
func (e *Engine) Loading() (bytes int64, took time.Duration) {
	for s, m := range e.weights.All() {
		if s.Role != model.Head || !e.weights.Tied() {
			bytes += int64(len(m.Data))
		}
	}
	return bytes, e.loading
}

// KVTokenBytes returns the bytes of one token's keys and values.
func (e *Engine) KVTokenBytes() int { return e.pool.Shape().TokenBytes() }

// KVFormat returns how keys and values are stored.
func (e *Engine) KVFormat() kvcache.Format { return e.pool.Shape().Format }

// KVBudget returns the bytes for keys and values.
func (e *Engine) KVBudget() int64 {
	s := e.pool.Storage()
	return int64(s.Pages()) * kvcache.PageTokens * int64(s.Shape().TokenBytes())
}

// KV returns how full the KV cache is, and how much of it is kept for texts to come.
func (e *Engine) KV() kvcache.Usage {
	u := e.pool.Usage()
	u.Kept = e.kept.idle() + e.beginnings.idle()
	return u
}
