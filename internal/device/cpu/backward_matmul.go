package cpu

import "github.com/flashback-lm/flashback/internal/tensor"

// Sizes of the products with frozen weights. Weights stay as they are stored: they
// are expanded to f32 in panels of columns, which stay in the second-level cache while
// rows pass by.
const (
	panelCols = 32   // columns of a panel
	panelDeep = 1024 // rows of a panel
	panelPass = 240  // rows of the other matrix in a unit
	packRows  = 32   // weight rows that a unit packs
)

// MatMulForward adds x · Wᵀ to out [rows, W.Rows]. It is the faster one for the many
// rows of a training step; its order of summation is not MatMul's.
func (b *Backward) MatMulForward(out, x []float32, rows int, w tensor.Matrix) {
	b.weightBytes.Add(int64(len(w.Data)))
	if b.rounding != nil {
		b.forwardRounded(out, x, rows, w)
		return
	}
	b.each(ceil(w.Rows, panelCols), func(worker, unit int) {
		s := &b.workers[worker]
		first := unit * panelCols
		n := min(panelCols, w.Rows-first)
		stored := grow(&s.row, n*w.Cols)
		b.kernels.Dequantize(w.Type, stored, w.Data[first*w.RowBytes():(first+n)*w.RowBytes()])
		panel := grow(&s.panel, panelCols*w.Cols)
		for r := range n {
			at := r
			for _, v := range stored[r*w.Cols : (r+1)*w.Cols] {
				panel[at] = v
				at += panelCols
			}
		}
		for at := 0; at < rows; at += panelPass {
			b.kernels.Accumulate(out[at*w.Rows+first:], w.Rows, x[at*w.Cols:], w.Cols, panel, panelCols, min(panelPass, rows-at), w.Cols, n)
		}
	})
}

// MatMulBackward adds dy · W to dx, the gradient of the input of a product whose
// output has the gradient dy [rows, W.Rows].
func (b *Backward) MatMulBackward(dx, dy []float32, rows int, w tensor.Matrix) {
	b.weightBytes.Add(int64(len(w.Data)))
	if b.rounding != nil {
		b.backwardRounded(dx, dy, rows, w)
		return
	}
	cols := w.Cols
	panels, passes := ceil(cols, panelCols), ceil(rows, panelPass)
	for from := 0; from < w.Rows; from += panelDeep {
		deep := min(panelDeep, w.Rows-from)
		packed := grow(&b.panels, panels*panelCols*deep)
		b.each(ceil(deep, packRows), func(worker, unit int) {
			row := grow(&b.workers[worker].row, cols)
			for r := unit * packRows; r < min(deep, (unit+1)*packRows); r++ {
				b.kernels.Dequantize(w.Type, row, w.Row(from+r))
				for p := range panels {
					c := p * panelCols
					copy(packed[(p*deep+r)*panelCols:], row[c:min(cols, c+panelCols)])
				}
			}
		})
		b.each(panels*passes, func(_, unit int) {
			p, first := unit/passes, unit%passes*panelPass
			c, n := p*panelCols, min(panelPass, rows-first)
			b.kernels.Accumulate(dx[first*cols+c:], cols, dy[first*w.Rows+from:], w.Rows, packed[p*deep*panelCols:], panelCols, n, deep, min(panelCols, cols-c))
		})
	}
}

// Product sets out [rows, n] to x [rows, k] times w [n, k] transposed.
func (b *Backward) Product(out, x, w []float32, rows, n, k int) {
	b.rows(rows, func(_, first, count int) {
		b.kernels.MatMul(out[first*n:], n, x[first*k:], k, w, k, count, n, k)
	})
}

// tileCols is how many columns a unit of AddProduct has.
const tileCols = 64

// AddProduct adds p [m, n] times v [n, dim] to acc [m, dim]. An element of acc takes
// its n terms in order.
func (b *Backward) AddProduct(acc, p, v []float32, m, n, dim int) {
	across := ceil(dim, tileCols)
	b.each(ceil(m, tileRows)*across, func(_, unit int) {
		r, c := unit/across*tileRows, unit%across*tileCols
		b.kernels.Accumulate(acc[r*dim+c:], dim, p[r*n:], n, v[c:], dim, min(tileRows, m-r), n, min(tileCols, dim-c))
	})
}
