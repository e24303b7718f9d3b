package plain

import (
	"math"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/device/cuda/driver/fake"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel"
)

func embed(c *fake.Card, p *kernel.Embed) {
	for r, token := range fake.Of[int32](c, p.Tokens, int(p.Rows)) {
		if token < 0 {
			continue
		}
		values := stored(c, p.Table, p.Stored, int(token), int(p.Width))
		if p.Sum != 0 {
			for i, v := range read(c, p.X, r, int(p.Stride), int(p.Width), 0) {
				values[i] += v
			}
		}
		row(c, p.X, r, int(p.Stride), 0, values)
	}
}

func gather(c *fake.Card, p *kernel.Gather) {
	for r, from := range fake.Of[int32](c, p.Index, int(p.Rows)) {
		row(c, p.To, r, int(p.Stride), 0, read(c, p.From, int(from), int(p.Stride), int(p.Width), 0))
	}
}

func elementwise(c *fake.Card, p *kernel.Elementwise) {
	for r := range int(p.Rows) {
		x := read(c, p.X, r, int(p.XStride), int(p.Width), 0)
		var y []float32
		if p.Y != 0 {
			y = read(c, p.Y, r, int(p.YStride), int(p.Width), 0)
		}
		for i, v := range x {
			switch {
			case p.Op == kernel.OpAdd:
				x[i] = v + y[i]
			case p.Op == kernel.OpScale:
				x[i] = v * p.By
			case p.Op == kernel.OpCap:
				x[i] = p.By * float32(math.Tanh(float64(v/p.By)))
			case p.Op >= kernel.OpActivate:
				x[i] = activation(kernel.Activation(p.Op-kernel.OpActivate), v)
				if y != nil {
					x[i] *= y[i]
				}
			}
		}
		row(c, p.To, r, int(p.ToWidth), p.Half, x)
	}
}

func activation(f kernel.Activation, v float32) float32 {
	x := float64(v)
	switch f {
	case kernel.SiLU:
		x /= 1 + math.Exp(-x)
	case kernel.GELUTanh:
		x *= (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) / 2
	case kernel.ReLU:
		x = max(x, 0)
	}
	return float32(x)
}

func norm(c *fake.Card, p *kernel.Norm) {
	n := int(p.Width)
	scale := read(c, p.Scale, 0, n, n, 0)
	var bias []float32
	if p.Bias != 0 {
		bias = read(c, p.Bias, 0, n, n, 0)
	}
	for r := range int(p.Rows) {
		x := normed(read(c, p.X, r, int(p.XStride), n, 0), scale, bias, p.Eps, p.Layer != 0)
		if p.Sum != 0 {
			for i, v := range read(c, p.To, r, int(p.ToStride), n, 0) {
				x[i] += v
			}
		}
		row(c, p.To, r, int(p.ToStride), p.Half, x)
	}
}

func normed(x, scale, bias []float32, eps float32, centred bool) []float32 {
	n := float64(len(x))
	var sum, squares float64
	for _, v := range x {
		sum += float64(v)
	}
	mean := 0.0
	if centred {
		mean = sum / n
	}
	for _, v := range x {
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	by := float32(1 / math.Sqrt(squares/n+float64(eps)))
	for i, v := range x {
		x[i] = (v - float32(mean)) * by * scale[i]
		if bias != nil {
			x[i] += bias[i]
		}
	}
	return x
}

func product(c *fake.Card, p *kernel.Product) {
	cols, kind := int(p.Cols), kindOf(p.Format)
	x := make([][]float32, p.Rows)
	for r := range x {
		if p.Norm == 0 {
			x[r] = read(c, p.X, r, int(p.XStride), cols, kind)
			continue
		}
		x[r] = normed(read(c, p.X, r, int(p.XStride), cols, 0), read(c, p.Norm, 0, cols, cols, 0), nil, p.Eps, false)
		for i, v := range x[r] {
			x[r][i] = half(v, kind)
		}
	}
	var sums [3][][]float32
	for i := range int(p.Count) {
		sums[i] = multiply(c, &p.Segments[i], p.Format, cols, x)
	}
	for i := range int(p.Count) {
		s := &p.Segments[i]
		for r, y := range sums[i] {
			switch p.Epilogue {
			case kernel.Store:
				row(c, s.Out, r, int(s.Stride), 0, y)
			case kernel.Add:
				for j, v := range read(c, s.Out, r, int(s.Stride), len(y), 0) {
					y[j] += v
				}
				row(c, s.Out, r, int(s.Stride), 0, y)
			case kernel.Gated:
				if i == 0 {
					for j, v := range y {
						y[j] = activation(p.Activation, v) * sums[1][r][j]
					}
					row(c, s.Out, r, int(s.Stride), kind, y)
				}
			case kernel.Activated:
				for j, v := range y {
					y[j] = activation(p.Activation, v)
				}
				row(c, s.Out, r, int(s.Stride), kind, y)
			}
		}
	}
}

// multiply returns the sums of rows of x with a segment's weights [rows of x, weight rows].
func multiply(c *fake.Card, s *kernel.Segment, f kernel.Format, cols int, x [][]float32) [][]float32 {
	out := make([][]float32, len(x))
	for r := range out {
		out[r] = make([]float32, s.Rows)
	}
	for j := range int(s.Rows) {
		scale, bias := float32(1), float32(0)
		if s.Scale != 0 {
			scale = fake.Of[float32](c, s.Scale+driver.Ptr(4*j), 1)[0]
		}
		if s.Bias != 0 {
			bias = fake.Of[float32](c, s.Bias+driver.Ptr(4*j), 1)[0]
		}
		row := weights(c, s.W, f, j, cols)
		for r, x := range x {
			sum := float32(0)
			for k, w := range row {
				sum += w * x[k]
			}
			out[r][j] = sum*scale + bias
		}
	}
	return out
}

func lowRank(c *fake.Card, p *kernel.LowRank) {
	for r := range int(p.Rows) {
		x := read(c, p.X, r, int(p.XStride), int(p.Cols), p.Half)
		for i := range int(p.Count) {
			u := &p.Updates[i]
			low := make([]float32, u.Rank)
			for k := range low {
				for j, a := range read(c, u.A, k, int(p.Cols), int(p.Cols), 0) {
					low[k] += a * x[j]
				}
			}
			to := read(c, u.To, r, int(u.Stride), int(u.Out), 0)
			for j := range to {
				sum := float32(0)
				for k, b := range read(c, u.B, j, int(u.Rank), int(u.Rank), 0) {
					sum += b * low[k]
				}
				to[j] += u.Scale * sum
			}
			row(c, u.To, r, int(u.Stride), 0, to)
		}
	}
}
