package cpu

import (
	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
)

// gatedTask computes what a feed-forward has between its norm and its down
// projection. A unit is a panel of the gate's rows with the same of up's.
type gatedTask struct {
	products matmulTask // gate and up
	f        device.Activation
	hidden   kernel.Quantized // f(gate)·up in int8, where down has a panel
	round    bool
}

// FeedForward computes gate and up, products of the same x [rows, W.Cols], sets
// gate.Out = f(gate.Out) · up.Out, and computes down, the product of that. The
// bits are those of MatMul, Activate and MatMul, with fewer waits between threads.
func (d *Device) FeedForward(f device.Activation, x []float32, rows int, gate, up, down Product) {
	g := &d.gated
	g.f = f
	t := &g.products
	t.d = d
	t.set(x, rows, &d.rounded, []Product{gate, up})
	if gate.Panel != nil || up.Panel != nil {
		d.round(x, rows, gate.W.Cols)
	}
	if g.round = down.Panel != nil; g.round {
		g.hidden.Resize(rows, down.W.Cols)
	}
	d.pool.run(g, ceil(gate.W.Rows, panelRows))
	t.clear()

	m := &d.matmul
	m.set(gate.Out, rows, &g.hidden, []Product{down})
	d.pool.run(m, m.units())
	m.clear()
}

func (g *gatedTask) run(worker, unit int) { g.runRange(worker, unit, unit+1) }

func (g *gatedTask) runRange(worker, first, end int) {
	t := &g.products
	s := &t.d.scratch[worker]
	ff := t.products[0].W.Rows
	first, end = first*panelRows, min(end*panelRows, ff)
	step := panelRows
	if t.rows == 1 {
		step = end - first
	}
	for ; first < end; first += step {
		n := min(step, end-first)
		t.panel(s, &t.products[0], first, n)
		t.panel(s, &t.products[1], first, n)
		for r := range t.rows {
			gate, up := t.products[0].Out[r*ff+first:][:n], t.products[1].Out[r*ff+first:][:n]
			t.d.activate(g.f, s, gate, up)
			if g.round {
				s.part = g.hidden.Part(r, first, n)
				t.d.kernels.Quantize(&s.part, 0, gate)
			}
		}
	}
}
