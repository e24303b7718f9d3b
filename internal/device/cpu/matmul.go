package cpu

import "github.com/flashback-lm/flashback/internal/tensor"

// panelRows is how many weight rows a unit of a matrix product has: few enough
// for their f32 form to stay in the second-level cache, and enough units for the
// threads to share out evenly.
const panelRows = 32

// Product is one matrix product: Out [rows, W.Rows] = x · Wᵀ.
type Product struct {
	Out []float32
	W   tensor.Matrix
	Add bool // add to Out instead
}

type matmulTask struct {
	d        *Device
	x        []float32
	rows     int
	products [3]Product
	n        int
}

// MatMul computes up to three products of the same x [rows, W.Cols], reading
// each weight once. The outputs must not overlap x.
func (d *Device) MatMul(x []float32, rows int, products ...Product) {
	t := &d.matmul
	t.x, t.rows = x, rows
	t.n = copy(t.products[:], products)
	units := 0
	for _, p := range products {
		units += (p.W.Rows + panelRows - 1) / panelRows
		d.weightBytes.Add(int64(len(p.W.Data)))
	}
	d.pool.run(t, units)
	t.x = nil
	clear(t.products[:])
}

func (t *matmulTask) run(worker, unit int) {
	for i := range t.products[:t.n] {
		p := &t.products[i]
		units := (p.W.Rows + panelRows - 1) / panelRows
		if unit < units {
			t.panel(&t.d.scratch[worker], p, unit*panelRows)
			return
		}
		unit -= units
	}
}

// panel computes the outputs of the weight rows from first on.
func (t *matmulTask) panel(s *scratch, p *Product, first int) {
	k := t.d.kernels
	cols, n := p.W.Cols, min(panelRows, p.W.Rows-first)
	stored := p.W.Data[first*p.W.RowBytes() : (first+n)*p.W.RowBytes()]

	out, ldo := p.Out[first:], p.W.Rows
	if p.Add {
		out, ldo = grow(&s.tile, t.rows*panelRows), panelRows
	}
	if t.rows == 1 {
		k.MatVec(p.W.Type, out, t.x, stored, n, cols)
	} else {
		w := grow(&s.panel, panelRows*cols)[:n*cols]
		k.Dequantize(p.W.Type, w, stored)
		k.MatMul(out, ldo, t.x, cols, w, cols, t.rows, n, cols)
	}
	if p.Add {
		for r := range t.rows {
			k.Add(p.Out[r*p.W.Rows+first:][:n], out[r*ldo:][:n])
		}
	}
}
