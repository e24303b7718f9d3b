package train

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
)

// turn sets the angles of the rows by their positions.
func (m *Model) turn(positions []int) {
	s := &m.pass
	for len(s.Turns) < len(m.ropes) {
		s.Turns = append(s.Turns, cpu.Angles{})
	}
	for k, rope := range m.ropes {
		t, pairs := &s.Turns[k], rope.Pairs()
		t.Cos, t.Sin = resize(t.Cos, len(positions)*pairs), resize(t.Sin, len(positions)*pairs)
		t.Pairs, t.Halves = pairs, m.weights.Config.Halves
		for i, at := range positions {
			rope.Angles(t.Cos[i*pairs:(i+1)*pairs], t.Sin[i*pairs:(i+1)*pairs], at)
		}
	}
}

// learned reports whether the model's positions were learned.
func (m *Model) learned() bool { return m != nil && m.weights.Config.Positions > 0 }

// checkPositions refuses those that the model has not learned, or turns otherwise.
func (m *Model) checkPositions(positions []int) error {
	c := m.weights.Config
	for _, at := range positions {
		if c.Positions > 0 && (at < 0 || at >= c.Positions) {
			return fmt.Errorf("a row stands at position %d, and the model has learned %d: prepare shorter windows", at, c.Positions)
		}
		if c.Long(at + 1) {
			return fmt.Errorf("a row stands at position %d, and texts of more than %d turn by other frequencies: prepare shorter windows", at, c.ShortContext)
		}
	}
	return nil
}

// embed sets m.last to what the first layer reads: the embeddings of the rows, the
// adapter's where it has one, as the model scales, projects and places them.
func (m *Model) embed(p *Packed, a *lora.Weights) error {
	c, n := m.weights.Config, p.Tokens()
	width := c.Embedded()
	m.last = resize(m.last, n*c.Hidden)
	x := m.last
	in := m.weights.Tensors[model.ProjectIn]
	if in.Rows > 0 {
		x = make([]float32, n*width)
	}
	table := m.weights.Tensors[model.Embedding]
	for i, t := range p.tokens {
		to := x[i*width : (i+1)*width]
		if row := a.Row(t); row != nil {
			copy(to, row)
		} else if t >= 0 && int(t) < c.Vocab {
			m.set.Dequantize(table.Type, to, table.Row(int(t)))
		} else {
			return fmt.Errorf("token %d has no embedding: the model has %d, and the adapter no row for it", t, c.Vocab)
		}
	}
	if c.EmbedScale > 0 {
		m.set.Scale(x[:n*width], c.EmbedScale)
	}
	if in.Rows > 0 {
		clear(m.last)
		m.device.MatMulForward(m.last, x, n, in)
	}
	if learned := m.weights.Tensors[model.PositionTable]; learned.Rows > 0 {
		ids := make([]int32, n)
		for i, at := range p.positions {
			ids[i] = int32(at + c.PositionOffset)
		}
		m.device.AddRows(m.last, learned, ids)
	}
	return nil
}

// embedBackward adds to the gradients of the adapter's rows, given that of the first
// layer's input in m.slope.
func (m *Model) embedBackward(p *Packed, into *lora.Weights) {
	if len(into.Rows) == 0 {
		return
	}
	c, slope := m.weights.Config, m.slope
	width := c.Embedded()
	if in := m.weights.Tensors[model.ProjectIn]; in.Rows > 0 {
		slope = make([]float32, p.Tokens()*width)
		m.device.MatMulBackward(slope, m.slope, p.Tokens(), in)
	}
	scaled := make([]float32, width)
	for i, t := range p.tokens {
		row := into.Row(t)
		if row == nil || i < m.pass.From {
			continue
		}
		from := slope[i*width : (i+1)*width]
		if c.EmbedScale > 0 {
			copy(scaled, from)
			m.set.Scale(scaled, c.EmbedScale)
			from = scaled
		}
		m.set.Add(row, from)
	}
}
