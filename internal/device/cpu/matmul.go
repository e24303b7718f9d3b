package cpu

import (
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// panelRows is how many weight rows a unit of a matrix product has: few enough
// for their f32 form to stay in the second-level cache, and enough units for the
// threads to share out evenly.
const panelRows = 32

// Product is one matrix product: Out [rows, W.Rows] = x · Wᵀ + Bias.
type Product struct {
	Out   []float32
	W     tensor.Matrix
	Panel *kernel.Panel // W repacked for int8 activations; nil: f32 activations
	Bias  []float32     // [W.Rows]; nil: none
	Add   bool          // add to Out instead
}

type matmulTask struct {
	d         *Device
	x         []float32
	rows      int
	quantized *kernel.Quantized // x, where a product has a panel
	unitRows  int
	products  [3]Product
	n         int
}

// MatMul computes up to three products of the same x [rows, W.Cols], reading
// each weight once. The outputs must not overlap x.
func (d *Device) MatMul(x []float32, rows int, products ...Product) {
	t := &d.matmul
	t.set(x, rows, &d.rounded, products)
	for _, p := range products {
		if p.Panel != nil {
			d.round(x, rows, p.W.Cols)
			break
		}
	}
	d.pool.run(t, t.units())
	t.clear()
}

// round turns the rows of x [rows, cols] into int8.
func (d *Device) round(x []float32, rows, cols int) {
	d.rounded.Resize(rows, cols)
	d.quantize.d, d.quantize.x = d, x
	d.eachRow(&d.quantize, rows)
	d.quantize.x = nil
}

func (t *matmulTask) set(x []float32, rows int, q *kernel.Quantized, products []Product) {
	t.x, t.rows, t.quantized = x, rows, q
	t.n = copy(t.products[:], products)
	for i := range products {
		p := &products[i]
		if p.Panel != nil {
			t.d.weightBytes.Add(p.Panel.Bytes())
		} else {
			t.d.weightBytes.Add(int64(len(p.W.Data)))
		}
	}
	// One row takes neighbouring units at a stroke, so small ones cost it nothing
	// and end at the same time.
	t.unitRows = panelRows
	if rows == 1 {
		t.unitRows = kernel.GroupRows
	}
}

func (t *matmulTask) clear() {
	t.x = nil
	clear(t.products[:])
}

func (t *matmulTask) units() (units int) {
	for i := range t.products[:t.n] {
		units += ceil(t.products[i].W.Rows, t.unitRows)
	}
	return units
}

func (t *matmulTask) run(worker, unit int) { t.runRange(worker, unit, unit+1) }

func (t *matmulTask) runRange(worker, first, end int) {
	for i := range t.products[:t.n] {
		p := &t.products[i]
		units := ceil(p.W.Rows, t.unitRows)
		if from, to := max(first, 0), min(end, units); from < to {
			t.outputs(&t.d.scratch[worker], p, from*t.unitRows, min(to*t.unitRows, p.W.Rows))
		}
		first, end = first-units, end-units
	}
}

// outputs computes the outputs of the weight rows first to end-1: one row of x
// reads all of them in one go, several rows a panel after the other.
func (t *matmulTask) outputs(s *scratch, p *Product, first, end int) {
	step := panelRows
	if t.rows == 1 {
		step = end - first
	}
	for ; first < end; first += step {
		t.panel(s, p, first, min(step, end-first))
	}
}

// panel computes the outputs of n weight rows from first on.
func (t *matmulTask) panel(s *scratch, p *Product, first, n int) {
	k := t.d.kernels
	cols := p.W.Cols
	out, ldo := p.Out[first:], p.W.Rows
	if p.Add {
		out, ldo = grow(&s.tile, t.rows*n), n
	}
	stored := func() []byte { return p.W.Data[first*p.W.RowBytes() : (first+n)*p.W.RowBytes()] }
	switch {
	case p.Panel != nil:
		k.MatMulInt8(out, ldo, t.quantized, 0, t.rows, p.Panel, first/kernel.GroupRows, ceil(first+n, kernel.GroupRows))
	case t.rows == 1:
		k.MatVec(p.W.Type, out, t.x, stored(), n, cols)
	default:
		w := grow(&s.panel, panelRows*cols)[:n*cols]
		k.Dequantize(p.W.Type, w, stored())
		k.MatMul(out, ldo, t.x, cols, w, cols, t.rows, n, cols)
	}
	if p.Bias != nil {
		for r := range t.rows {
			k.Add(out[r*ldo:][:n], p.Bias[first:])
		}
	}
	if p.Add {
		for r := range t.rows {
			k.Add(p.Out[r*p.W.Rows+first:][:n], out[r*ldo:][:n])
		}
	}
}

// quantizeTask turns rows into int8.
type quantizeTask struct {
	d *Device
	x []float32
}

func (q *quantizeTask) run(_, r int) {
	to := &q.d.rounded
	q.d.kernels.Quantize(to, r, q.x[r*to.Cols:(r+1)*to.Cols])
}
