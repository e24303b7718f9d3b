package train

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/nn"
	"github.com/flashback-lm/flashback/internal/nn/backward"
)

// Dropout zeroes entries of the input of a factor; see backward.Dropout.
type Dropout = backward.Dropout

// Model computes losses and gradients of packed sequences through a frozen
// model, whatever the storage type of its weights. It is for one caller at a
// time.
type Model struct {
	// TapeBytes is how much of what the backward pass needs is kept from the forward
	// pass. Layers that do not fit keep their input only and are computed again.
	// Results do not depend on it.
	TapeBytes int64

	weights *model.Weights
	device  *cpu.Backward
	set     *kernel.Set
	ropes   []nn.Rope
	blocks  []backward.Tuned
	head    backward.Head

	pass   backward.Pass
	tapes  []backward.Tape // one a layer
	shared backward.Tape   // of the layer that is computed again
	last   []float32       // the last residual stream [rows, hidden]
	slope  []float32       // of the residual stream [rows, hidden]
	chosen []float32       // rows of the last stream that predict, and their slopes [headRows, hidden]
	slopes []float32
	logits []float32 // [headRows, vocabulary]
}

// headRows is how many rows go through the output head at once: their logits are
// large, the vocabulary wide.
const headRows = 128

// defaultTapeBytes holds a window of 1600 rows of a model of 135 million weights.
const defaultTapeBytes = 3 << 29

// NewModel returns a trainer's view of the weights, which it reads but does not
// own. threads ≤ 0 is one a core; kernels "" is the fastest compute path.
func NewModel(w *model.Weights, threads int, kernels string) (*Model, error) {
	set, err := kernel.Choose(kernels)
	if err != nil {
		return nil, err
	}
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	c := w.Config
	m := &Model{
		TapeBytes: defaultTapeBytes,
		weights:   w,
		device:    cpu.NewBackward(cpu.New(set, threads)),
		set:       set,
		blocks:    make([]backward.Tuned, len(w.Layers)),
		head:      backward.NewHead(w),
		tapes:     make([]backward.Tape, len(w.Layers)),
	}
	for _, r := range c.Ropes() {
		m.ropes = append(m.ropes, nn.NewRope(r))
	}
	blocks := backward.NewBlocks(w)
	for i := range blocks {
		m.blocks[i] = backward.Tuned{Layer: i, Block: &blocks[i]}
	}
	return m, nil
}

// UseRounding rounds the operands of products with the model's weights to 16 bits from
// now on, and returns the name of such numbers: bf16 or i16; "": no product of them is
// faster than f32 here, and nothing is rounded. Factors, attention, norms and the loss
// stay in f32.
func (m *Model) UseRounding() string { return m.device.UseRounding() }

// Close ends the model's threads.
func (m *Model) Close() { m.device.Close() }

// Gradients adds the gradient of scale · Σ loss over the targets to into, which has
// the adapter's shape, and returns Σ -log p of the targets (natural logarithm).
// Where activated, the adapter applies from the evidence on only: the rows of the
// shared context are the base model's. Rows of the adapter replace embeddings; logits
// are over the base vocabulary, by the base's head.
func (m *Model) Gradients(ctx context.Context, p *Packed, a, into *lora.Weights, scale float32, drop Dropout, activated bool) (float64, error) {
	if a == nil || into == nil {
		return 0, errors.New("gradients without an adapter")
	}
	if !(drop.P >= 0 && drop.P < 1) {
		return 0, fmt.Errorf("dropout %v: from 0 to below 1", drop.P)
	}
	if err := m.open(p, a, activated, drop); err != nil {
		return 0, err
	}
	for i := range into.Layers {
		m.blocks[i].Grads = into.Layers[i]
	}
	lowest := m.lowest(a)
	if err := m.forward(ctx, p, lowest); err != nil {
		return 0, err
	}
	loss, err := m.predict(ctx, p, scale, true)
	if err != nil {
		return 0, err
	}
	return loss, m.backward(ctx, p, into, lowest)
}

// Loss returns what Gradients returns, without a backward pass and without
// dropout. A nil adapter is the base model.
func (m *Model) Loss(ctx context.Context, p *Packed, a *lora.Weights, activated bool) (float64, error) {
	if a == nil {
		a = &lora.Weights{}
	}
	if err := m.open(p, a, activated, Dropout{}); err != nil {
		return 0, err
	}
	if err := m.forward(ctx, p, len(m.blocks)); err != nil {
		return 0, err
	}
	return m.predict(ctx, p, 1, false)
}

// open checks that the adapter fits and prepares what the layers share.
func (m *Model) open(p *Packed, a *lora.Weights, activated bool, drop Dropout) error {
	c := m.weights.Config
	if n := len(a.Layers); n != 0 && n != len(m.blocks) {
		return fmt.Errorf("the adapter has %d layers and the model %d", n, len(m.blocks))
	}
	for i := range m.blocks {
		m.blocks[i].Factors, m.blocks[i].Grads = lora.Layer{}, lora.Layer{}
		if len(a.Layers) > 0 {
			m.blocks[i].Factors = a.Layers[i]
		}
		if err := m.blocks[i].Check(); err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
	}
	for _, r := range a.Rows {
		if len(r.Embedding) != c.Embedded() {
			return fmt.Errorf("the embedding of token %d has %d numbers and the model's have %d", r.Token, len(r.Embedding), c.Embedded())
		}
	}
	n := p.Tokens()
	s := &m.pass
	s.Device, s.Rows, s.Segments, s.Dropout = m.device, n, p.segments, drop
	s.Positions, s.Beside = p.positions, make([]bool, n)
	for i, at := range p.positions {
		s.Beside[i] = at < 0 && c.Beside() // only virtual evidence stands there; models with learned positions have no window
	}
	s.From = 0
	if activated {
		s.From = p.context
	}
	m.turn(p.positions)
	if err := m.checkPositions(p.positions); err != nil {
		return err
	}
	if err := m.embed(p, a); err != nil {
		return err
	}
	for _, t := range p.targets {
		if t.token < 0 || int(t.token) >= c.Vocab {
			return fmt.Errorf("target token %d is not in the model's vocabulary of %d", t.token, c.Vocab)
		}
	}
	return nil
}

func resize(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}

// lowest returns the first layer that gradients must reach.
func (m *Model) lowest(a *lora.Weights) int {
	if len(a.Rows) > 0 {
		return 0
	}
	for i := range a.Layers {
		if a.Layers[i] != (lora.Layer{}) {
			return i
		}
	}
	return len(m.blocks)
}

// kept returns the first layer whose whole tape is kept.
func (m *Model) kept(rows int) int {
	c := m.weights.Config
	layer := int64(4 * rows * backward.TapeFloats(c))
	return max(0, len(m.blocks)-int(m.TapeBytes/layer))
}

// forward takes the embeddings in m.last through the layers. Those from lowest on
// keep their input, and the tape if there is room.
func (m *Model) forward(ctx context.Context, p *Packed, lowest int) error {
	kept := m.kept(p.Tokens())
	for i := range m.blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		t := &m.tapes[i]
		if i < max(lowest, kept) {
			t = &m.shared
		}
		x := m.last
		if i >= lowest {
			m.tapes[i].X = append(m.tapes[i].X[:0], m.last...)
			x = m.tapes[i].X
		}
		t.X = x
		m.blocks[i].Forward(&m.pass, t, m.last)
	}
	return nil
}

// predict returns the loss of the targets, and with gradients sets m.slope to scale
// times its gradient.
func (m *Model) predict(ctx context.Context, p *Packed, scale float32, gradients bool) (float64, error) {
	c := m.weights.Config
	m.logits = resize(m.logits, headRows*c.Vocab)
	m.chosen, m.slopes = resize(m.chosen, headRows*c.Hidden), resize(m.slopes, headRows*c.Hidden)
	var slopes []float32
	if gradients {
		slopes = m.slopes
		m.slope = resize(m.slope, p.Tokens()*c.Hidden)
		clear(m.slope)
	}
	total := 0.0
	for first := 0; first < len(p.targets); first += headRows {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		targets := p.targets[first:min(len(p.targets), first+headRows)]
		tokens := make([]int32, len(targets))
		for i, t := range targets {
			tokens[i] = t.token
			copy(m.chosen[i*c.Hidden:(i+1)*c.Hidden], m.last[t.row*c.Hidden:])
		}
		total += m.head.Loss(m.device, slopes, m.chosen, m.logits, tokens, scale)
		for i, t := range targets {
			if gradients && t.row >= m.pass.From {
				m.set.Add(m.slope[t.row*c.Hidden:(t.row+1)*c.Hidden], slopes[i*c.Hidden:])
			}
		}
	}
	return total, nil
}

// backward takes m.slope through the layers, the last first, down to the lowest.
func (m *Model) backward(ctx context.Context, p *Packed, into *lora.Weights, lowest int) error {
	if m.pass.From == p.Tokens() {
		return nil // nothing that the adapter changes
	}
	kept := m.kept(p.Tokens())
	for i := len(m.blocks) - 1; i >= lowest; i-- {
		if err := ctx.Err(); err != nil {
			return err
		}
		t := &m.tapes[i]
		if i < kept {
			x := t.X
			t = &m.shared
			t.X = x
			m.blocks[i].Forward(&m.pass, t, nil)
		}
		m.blocks[i].Backward(&m.pass, t, m.slope, i > lowest || len(into.Rows) > 0)
	}
	m.embedBackward(p, into)
	return nil
}
