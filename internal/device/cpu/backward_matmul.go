package cpu

import "github.com/flashback-lm/flashback/internal/tensor"

// Sizes of MatMulBackward: a panel of f32 weights stays in the second-level cache
// while rows of the gradient pass by.
const (
	panelCols = 32   // columns of a panel
	panelDeep = 1024 // rows of a panel
	panelPass = 240  // rows of the gradient in a unit
	packRows  = 32   // weight rows that a unit packs
)

// MatMulBackward adds dy · W to dx, the gradient of the input of a product whose
// output has the gradient dy [rows, W.Rows]. Frozen weights stay as they are stored:
// some rows at a time they are expanded to f32 and packed in panels of columns.
func (b *Backward) MatMulBackward(dx, dy []float32, rows int, w tensor.Matrix) {
	cols := w.Cols
	panels, passes := ceil(cols, panelCols), ceil(rows, panelPass)
	for from := 0; from < w.Rows; from += panelDeep {
		deep := min(panelDeep, w.Rows-from)
		packed := grow(&b.panels, panels*panelCols*deep)
		b.weightBytes.Add(int64(deep * w.RowBytes()))
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
			b.kernels.Accumulate(dx[first*cols+c:], cols, dy[first*w.Rows+from:], w.Rows,
				packed[p*deep*panelCols:], panelCols, n, deep, min(panelCols, cols-c))
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
