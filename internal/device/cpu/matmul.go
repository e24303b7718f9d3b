package cpu

import (
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// panelRows is how many weight rows a unit of a matrix product has: few enough
// for their f32 form to stay in the second-level cache, and enough units for the
// threads to share out evenly.
const panelRows = 32

// Product is one matrix product: Out [rows, W.Rows] = x · Wᵀ.
type Product struct {
	Out   []float32
	W     tensor.Matrix
	Panel *kernel.Panel // W repacked for int8 activations; nil: f32 activations
	Add   bool          // add to Out instead
}

type matmulTask struct {
	d         *Device
	x         []float32
	rows      int
	quantized kernel.Quantized // x, where a product has a panel
	products  [3]Product
	n         int
}

// MatMul computes up to three products of the same x [rows, W.Cols], reading
// each weight once. The outputs must not overlap x.
func (d *Device) MatMul(x []float32, rows int, products ...Product) {
	t := &d.matmul
	t.x, t.rows = x, rows
	t.n = copy(t.products[:], products)
	units, int8 := 0, false
	for _, p := range products {
		units += ceil(p.W.Rows, panelRows)
		if p.Panel != nil {
			int8 = true
			d.weightBytes.Add(p.Panel.Bytes())
		} else {
			d.weightBytes.Add(int64(len(p.W.Data)))
		}
	}
	if int8 {
		t.quantized.Resize(rows, products[0].W.Cols)
		d.quantize = quantizeTask{t}
		d.eachRow(&d.quantize, rows)
	}
	d.pool.run(t, units)
	t.x = nil
	clear(t.products[:])
}

func (t *matmulTask) run(worker, unit int) {
	for i := range t.products[:t.n] {
		p := &t.products[i]
		units := ceil(p.W.Rows, panelRows)
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
	out, ldo := p.Out[first:], p.W.Rows
	if p.Add {
		out, ldo = grow(&s.tile, t.rows*panelRows), panelRows
	}
	stored := p.W.Data[first*p.W.RowBytes() : (first+n)*p.W.RowBytes()]
	switch {
	case p.Panel != nil:
		k.MatMulInt8(out, ldo, &t.quantized, 0, t.rows, p.Panel, first/kernel.GroupRows, ceil(first+n, kernel.GroupRows))
	case t.rows == 1:
		k.MatVec(p.W.Type, out, t.x, stored, n, cols)
	default:
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

// quantizeTask turns the rows of a product's x into int8.
type quantizeTask struct{ t *matmulTask }

func (q *quantizeTask) run(_, r int) {
	cols := q.t.quantized.Cols
	q.t.d.kernels.Quantize(&q.t.quantized, r, q.t.x[r*cols:(r+1)*cols])
}
