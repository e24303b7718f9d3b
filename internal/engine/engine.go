// Package engine owns a model on a device: its weights, the KV cache, and the
// forward over spans and views that every placement is made of.
package engine

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/nn"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// Options configure an engine; the zero value is a good default.
type Options struct {
	Threads  int    // threads; 0: one a core
	Kernels  string // compute path by name; "": the fastest that the processor has
	Compute  Compute
	KV       string // how keys and values are stored: f32, f16, i16 or q8; "": see KVFormat
	KVBudget int64  // bytes for keys and values, kept evidence included; 0: see DefaultKVBudget
	// BatchTokens is how many rows a forward computes at once; 0: 256. Results
	// do not depend on it, memory and speed do.
	BatchTokens int
}

// Compute says how numbers are rounded. Within either, results are bit-equal
// whatever the batch, the chunking and the threads.
type Compute string

// The computes.
const (
	// Exact expands weights to f32 and keeps activations, keys and values in f32
	// unless Options.KV says otherwise.
	// Every comparison with a reference uses it.
	Exact Compute = "exact"
	// Fast rounds activations to int8 in blocks of 32, multiplies them with
	// weights that were repacked at load, and keeps keys and values in 16 bits unless
	// Options.KV says otherwise.
	Fast Compute = "fast"

	// DefaultCompute is within 0.3 % of exact perplexity on WikiText-2
	// (docs/performance.md).
	DefaultCompute = Fast
)

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

// Engine computes with one model. It is safe for concurrent use: forwards take
// turns.
type Engine struct {
	*core
	pool *kvcache.Pool
	kept *keptSpans // virtual evidence for reuse; nil keeps none
	// tamper plants faults; only tests set it.
	tamper func(*stride, *plan)
}

// core is what every engine of one model shares.
type core struct {
	weights *model.Weights
	compute Compute
	shape   cpu.AttendShape
	rope    nn.Rope
	blocks  []nn.Block
	head    nn.Head

	mu      *sync.Mutex // held during a forward
	dev     *cpu.Device
	act     *nn.Activations
	cos     []float32 // [batch, headDim/2]
	sin     []float32
	before  []int // lengths of the segments' spans before a forward
	chunk   []piece
	rows    []cpu.Rows
	adapted []nn.Adapted
	headIn  []float32 // [headRows, hidden]
	logits  []float32 // [headRows, vocabulary]
}

// headRows is how many rows go through the output head at once: their logits
// are large, the vocabulary wide.
const headRows = 32

// New returns an engine for the weights, which it reads but does not own.
func New(w *model.Weights, opt Options) (*Engine, error) {
	set, err := kernel.Choose(opt.Kernels)
	if err != nil {
		return nil, err
	}
	if opt.Threads <= 0 {
		opt.Threads = runtime.GOMAXPROCS(0)
	}
	if opt.BatchTokens <= 0 {
		opt.BatchTokens = 256
	}
	compute, err := ParseCompute(string(opt.Compute))
	if err != nil {
		return nil, err
	}
	kv, err := opt.KVFormat(w.Config)
	if err != nil {
		return nil, err
	}
	if opt.KVBudget <= 0 {
		opt.KVBudget = DefaultKVBudget(w.Config, kv)
	}
	pool, err := kvcache.NewPool(KVShape(w.Config, kv), opt.KVBudget)
	if err != nil {
		return nil, err
	}
	c, err := newCore(w, set, compute, opt.Threads, opt.BatchTokens)
	if err != nil {
		return nil, err
	}
	e := &Engine{core: c, pool: pool, kept: newKeptSpans()}
	pool.OnFull(e.kept.evict)
	return e, nil
}

// Close ends the engine's threads.
func (e *Engine) Close() { e.dev.Close() }

// Config returns the shape of the model.
func (e *Engine) Config() model.Config { return e.weights.Config }

// Compute returns how the engine rounds.
func (e *Engine) Compute() Compute { return e.compute }

// Device returns the device, for its counters.
func (e *Engine) Device() *cpu.Device { return e.dev }

// KVTokenBytes returns the bytes of one token's keys and values.
func (e *Engine) KVTokenBytes() int { return e.pool.Shape().TokenBytes() }

// KVFormat returns how keys and values are stored.
func (e *Engine) KVFormat() kvcache.Format { return e.pool.Shape().Format }

// KV returns how full the KV cache is.
func (e *Engine) KV() kvcache.Usage { return e.pool.Usage() }

func newCore(w *model.Weights, set *kernel.Set, compute Compute, threads, batch int) (*core, error) {
	c := w.Config
	core := &core{
		weights: w,
		compute: compute,
		shape:   cpu.AttendShape{Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim},
		rope:    nn.NewRope(c.RopeBase, c.HeadDim, c.RopeFactors),
		blocks:  make([]nn.Block, len(w.Layers)),
		mu:      new(sync.Mutex),
		headIn:  make([]float32, headRows*c.Hidden),
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
	core.size(batch)
	return core, nil
}

// size allocates the buffers of a forward for up to tokens rows.
func (c *core) size(tokens int) {
	cfg := c.weights.Config
	c.act = nn.NewActivations(tokens, cfg.Hidden, cfg.FF, c.shape)
	c.cos = make([]float32, tokens*cfg.HeadDim/2)
	c.sin = make([]float32, tokens*cfg.HeadDim/2)
}

// batch returns how many rows the buffers hold.
func (c *core) batch() int { return len(c.act.X) / c.weights.Config.Hidden }

// segment is a run of tokens to encode: they go to the end of one span and see
// a view, then the entries of that span up to their own.
type segment struct {
	tokens  []int32
	view    []kvcache.Part
	into    *kvcache.Span
	adapter *Adapter // changes its rows; nil: none
	// The rows from logitsFrom on are passed through the output head, in order,
	// and their logits [vocabulary] given to emit, which must not keep them.
	logitsFrom int
	emit       func(row int, logits []float32)
}

// forward encodes the segments. A segment may see what earlier segments of the
// same call write. On an error all spans are as before.
func (e *Engine) forward(ctx context.Context, segments []segment) (err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.before = e.before[:0]
	for _, s := range segments {
		e.before = append(e.before, s.into.Len())
	}
	before := e.before
	defer func() {
		if err != nil {
			for i := len(segments) - 1; i >= 0; i-- {
				segments[i].into.Truncate(before[i])
			}
		}
	}()
	for i, s := range segments {
		for _, t := range s.tokens {
			if (t < 0 || int(t) >= e.weights.Config.Vocab) && !s.has(t) {
				return fmt.Errorf("token %d is not in the model's vocabulary of %d", t, e.weights.Config.Vocab)
			}
		}
		before[i] = s.into.Len()
		if err := s.into.Extend(len(s.tokens)); err != nil {
			return err
		}
	}
	chunk, rows := e.chunk[:0], 0
	for i := range segments {
		s := &segments[i]
		for from := 0; from < len(s.tokens); {
			n := min(len(s.tokens)-from, e.batch()-rows)
			chunk = append(chunk, piece{segment: s, from: from, count: n, entry: before[i] + from})
			e.chunk = chunk
			from += n
			if rows += n; rows == e.batch() {
				if err := e.encode(ctx, chunk); err != nil {
					return err
				}
				chunk, rows = chunk[:0], 0
			}
		}
	}
	if rows == 0 {
		return nil
	}
	return e.encode(ctx, chunk)
}

// piece is the part of a segment that is in one chunk.
type piece struct {
	*segment
	from, count int // tokens of the segment
	entry       int // of the span, that token from is written to
}

// encode runs one chunk of rows through the model.
func (c *core) encode(ctx context.Context, chunk []piece) error {
	cfg := c.weights.Config
	half := cfg.HeadDim / 2
	rows := 0
	c.rows, c.adapted = c.rows[:0], c.adapted[:0]
	for i := range chunk {
		p := &chunk[i]
		c.embed(c.act.X[rows*cfg.Hidden:], p)
		c.adapt(p, rows)
		for i := range p.count {
			at := (rows + i) * half
			c.rope.Angles(c.cos[at:at+half], c.sin[at:at+half], p.into.Start()+p.entry+i)
		}
		c.rows = append(c.rows, cpu.Rows{First: rows, Count: p.count, View: p.view, Self: p.into, SelfFirst: p.entry})
		rows += p.count
	}
	b := nn.Batch{Tokens: rows, Shape: c.shape, Cos: c.cos, Sin: c.sin, Rows: c.rows, Adapted: c.adapted}
	for l := range c.blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.blocks[l].Forward(c.dev, l, &b, c.act)
	}
	return c.emit(ctx, chunk)
}

// emit computes the logits that the chunk's segments want.
func (c *core) emit(ctx context.Context, chunk []piece) error {
	cfg := c.weights.Config
	first := 0
	for _, p := range chunk {
		for from := max(p.from, p.logitsFrom); from < p.from+p.count; from += headRows {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := min(headRows, p.from+p.count-from)
			x := c.act.X[(first+from-p.from)*cfg.Hidden:]
			copy(c.headIn[:n*cfg.Hidden], x)
			if len(c.logits) < n*cfg.Vocab {
				c.logits = make([]float32, n*cfg.Vocab)
			}
			c.head.Forward(c.dev, c.logits, c.headIn, n)
			for i := range n {
				p.emit(from+i, c.logits[i*cfg.Vocab:(i+1)*cfg.Vocab:(i+1)*cfg.Vocab])
			}
		}
		first += p.count
	}
	return nil
}
