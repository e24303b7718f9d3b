package cpu

import (
	"math"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// rowTask is an operation on rows of n numbers, each for itself.
type rowTask struct {
	d           *Device
	row         func(t *rowTask, worker, r int)
	x, y        []float32 // [rows, n]
	scale, bias []float32 // [n]
	n           int
	number      float32
	f           device.Activation
	table       tensor.Matrix
	ids         []int32 // rows of the table
}

func (t *rowTask) run(worker, r int) { t.row(t, worker, r) }

// of returns row r of x.
func (t *rowTask) of(x []float32, r int) []float32 { return x[r*t.n : (r+1)*t.n] }

// eachOf runs the task for every row.
func (d *Device) eachOf(t rowTask, rows int) {
	t.d = d
	d.rows = t
	d.eachRow(&d.rows, rows)
	d.rows = rowTask{}
}

// LayerNorm sets dst = (x - mean(x)) / √(var(x) + eps) · scale + bias for rows of the
// scale's width; dst may be x.
func (d *Device) LayerNorm(dst, x, scale, bias []float32, rows int, eps float32) {
	d.eachOf(rowTask{row: layerNorm, x: dst, y: x, scale: scale, bias: bias, n: len(scale), number: eps}, rows)
}

func layerNorm(t *rowTask, _, r int) {
	x, dst := t.of(t.y, r), t.of(t.x, r)
	mean, inverse := moments(x, t.number)
	for i, v := range x {
		dst[i] = float32((float64(v)-mean)*inverse)*t.scale[i] + t.bias[i]
	}
}

// moments returns the mean of x and 1 / √(var(x) + eps).
func moments(x []float32, eps float32) (mean, inverse float64) {
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(len(x))
	var squares float64
	for _, v := range x {
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	return mean, 1 / math.Sqrt(squares/float64(len(x))+float64(eps))
}

// Activate sets gate = f(gate) · up for [rows, n] values; without up, gate = f(gate).
func (d *Device) Activate(f device.Activation, gate, up []float32, rows, n int) {
	d.eachOf(rowTask{row: activateRow, x: gate, y: up, n: n, f: f}, rows)
}

func activateRow(t *rowTask, worker, r int) {
	var up []float32
	if t.y != nil {
		up = t.of(t.y, r)
	}
	t.d.activate(t.f, &t.d.scratch[worker], t.of(t.x, r), up)
}

// activate sets gate = f(gate) · up and may change up; without up, gate = f(gate).
func (d *Device) activate(f device.Activation, s *scratch, gate, up []float32) {
	if up == nil {
		up = grow(&s.ones, len(gate))
		for i := range up {
			up[i] = 1
		}
	}
	switch f {
	case device.GELUTanh:
		toSiLU(gate, up)
		d.kernels.SwiGLU(gate, up)
	case device.ReLU:
		for i, g := range gate {
			gate[i] = max(g, 0) * up[i]
		}
	default:
		d.kernels.SwiGLU(gate, up)
	}
}

// The approximation of GELU by a hyperbolic tangent (Hendrycks and Gimpel, 2016).
const (
	geluCube  = 0.044715
	geluScale = 2 * 0.7978845608028654 // 2·√(2/π)
)

// toSiLU makes silu(gate)·up what gelu(gate)·up was: gelu(g) = g·σ(z) with
// z = 2·√(2/π)·(g + 0.044715·g³), and that is silu(z)·g/z.
func toSiLU(gate, up []float32) {
	up = up[:len(gate)]
	for i, g := range gate {
		factor := float32(geluScale * (1 + float32(float32(geluCube*g)*g)))
		gate[i] = g * factor
		up[i] /= factor
	}
}

// AddTo adds y to x, [rows, n] each.
func (d *Device) AddTo(x, y []float32, rows, n int) {
	d.eachOf(rowTask{row: addRow, x: x, y: y, n: n}, rows)
}

func addRow(t *rowTask, _, r int) { t.d.kernels.Add(t.of(t.x, r), t.of(t.y, r)) }

// SoftCap sets x = most · tanh(x/most) for [rows, n] values.
func (d *Device) SoftCap(x []float32, rows, n int, most float32) {
	const piece = 1 << 13 // logits are wide and their rows few
	if n%piece == 0 {
		rows, n = rows*n/piece, piece
	}
	d.eachOf(rowTask{row: softCapRow, x: x, n: n, number: most}, rows)
}

func softCapRow(t *rowTask, _, r int) {
	most := float64(t.number)
	row := t.of(t.x, r)
	for i, v := range row {
		row[i] = float32(most * math.Tanh(float64(v)/most))
	}
}

// AddRows adds to each row of x [len(ids), width] the row of the table that ids names.
func (d *Device) AddRows(x []float32, table tensor.Matrix, ids []int32) {
	d.eachOf(rowTask{row: addTableRow, x: x, n: table.Cols, table: table, ids: ids}, len(ids))
}

func addTableRow(t *rowTask, worker, r int) {
	row := grow(&t.d.scratch[worker].ones, t.n)
	t.d.kernels.Dequantize(t.table.Type, row, t.table.Row(int(t.ids[r])))
	t.d.kernels.Add(t.of(t.x, r), row)
}
