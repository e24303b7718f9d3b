package backward

import (
	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/model"
)

// addFactor adds the factor of a projection, if there is one, to its output for the
// rows that the adapter changes. x is the input.
func (b *Tuned) addFactor(p *Pass, t model.Role, out, x []float32) {
	f := b.Factors[t]
	if n := p.Rows - p.From; f != nil && n > 0 {
		p.factorT = cpu.Transpose(p.factorT, f.B, f.Out, f.Rank)
		low := b.low(p, t, x)
		p.Device.AddProduct(out[p.From*f.Out:], low, p.factorT, n, f.Rank, f.Out)
	}
}

// low returns scale · x·Aᵀ [rows, rank] of the rows that the adapter changes, and
// leaves the input of A, with its dropout, in p.dropped.
func (b *Tuned) low(p *Pass, t model.Role, x []float32) []float32 {
	f, n := b.Factors[t], p.Rows-p.From
	input := b.drop(p, t, x[p.From*f.In:])
	low := sized(&p.low, n*f.Rank)
	p.Device.Product(low, input, f.A, n, f.Rank, f.In)
	for i := range low {
		low[i] *= f.Scale
	}
	return low
}

// drop returns the input x of a factor after dropout. What x was multiplied by stays
// in p.keep.
func (b *Tuned) drop(p *Pass, t model.Role, x []float32) []float32 {
	f, n := b.Factors[t], p.Rows-p.From
	if p.Dropout.P == 0 {
		return x[:n*f.In]
	}
	keep, dropped := sized(&p.keep, n*f.In), sized(&p.dropped, n*f.In)
	p.Device.EachRow(n, func(r int) {
		x, keep, dropped := x[r*f.In:][:f.In], keep[r*f.In:][:f.In], dropped[r*f.In:][:f.In]
		p.Dropout.factors(keep, b.Layer, t, p.From+r)
		for i, v := range x {
			dropped[i] = v * keep[i]
		}
	})
	return dropped
}

// factorBackward adds to the gradients of a factor and, unless dx is nil, to that of
// its input x. dx and dy start at the first row that the adapter changes; x does not.
func (b *Tuned) factorBackward(p *Pass, t model.Role, dx, dy, x []float32) {
	f, g, n, d := b.Factors[t], b.Grads[t], p.Rows-p.From, p.Device
	// out = scale · drop(x)·Aᵀ·Bᵀ
	low := b.low(p, t, x)
	input := x[p.From*f.In:]
	if p.Dropout.P > 0 {
		input = p.dropped
	}
	p.lowT = cpu.Transpose(p.lowT, low, n, f.Rank)
	grads := p.zeroed(&p.gradsT, f.Rank, f.Out)
	d.AddProduct(grads, p.lowT, dy, f.Rank, n, f.Out)
	for r := range f.Rank {
		for o, v := range grads[r*f.Out : (r+1)*f.Out] {
			g.B[o*f.Rank+r] += v
		}
	}
	p.factorT = cpu.Transpose(p.factorT, f.B, f.Out, f.Rank)
	dLow := sized(&p.dLow, n*f.Rank)
	d.Product(dLow, dy, p.factorT, n, f.Rank, f.Out)
	for i := range dLow {
		dLow[i] *= f.Scale
	}
	p.dLowT = cpu.Transpose(p.dLowT, dLow, n, f.Rank)
	gradA := p.zeroed(&p.gradsT, f.Rank, f.In)
	d.AddProduct(gradA, p.dLowT, input, f.Rank, n, f.In)
	for i, v := range gradA {
		g.A[i] += v
	}
	if dx == nil {
		return
	}
	if p.Dropout.P == 0 {
		d.AddProduct(dx, dLow, f.A, n, f.Rank, f.In)
		return
	}
	back := p.zeroed(&p.dropped, n, f.In)
	d.AddProduct(back, dLow, f.A, n, f.Rank, f.In)
	d.Multiply(back, p.keep, n, f.In)
	d.Add(dx, back, n, f.In)
}
