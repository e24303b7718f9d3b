package cpu

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// projection returns a product with random weights, repacked if asked for.
func projection(t *testing.T, name string, rows, cols int, panel bool) Product {
	t.Helper()
	p := Product{W: matrix(rows, cols, noise(name, rows*cols, 1))}
	if panel {
		var err error
		if p.Panel, err = kernel.Repack(p.W); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// sameBits fails at the first number that differs; NaNs are alike.
func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] == got[i] || want[i] == want[i]) {
			t.Fatalf("%s: number %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// TestFeedForwardIsItsProducts compares with the operations one by one on a
// single thread, row by row.
func TestFeedForwardIsItsProducts(t *testing.T) {
	for _, set := range kernel.Sets() {
		for _, threads := range []int{1, 3} {
			f := device.Activation(threads / 2) // SiLU, GELU
			for _, s := range []struct {
				rows, hidden, ff int
				panel            bool
			}{
				{1, 32, 32, true}, {1, 64, 192, true}, {2, 96, 224, true}, {19, 64, 96, true},
				{1, 40, 70, false}, {1, 64, 192, false}, {5, 24, 33, false},
			} {
				what := fmt.Sprintf("%s, %d threads, %+v", set.Name, threads, s)
				gate := projection(t, "gate", s.ff, s.hidden, s.panel)
				up := projection(t, "up", s.ff, s.hidden, s.panel)
				down := projection(t, "down", s.hidden, s.ff, s.panel)
				down.Add = true
				up.Bias = noise("bias", s.ff, 1)
				x, residual := noise("x", s.rows*s.hidden, 1), noise("residual", s.rows*s.hidden, 1)
				x[3] = float32(math.Inf(1)) // its block has no scale
				buffers := func() {
					gate.Out, up.Out = make([]float32, s.rows*s.ff), make([]float32, s.rows*s.ff)
					down.Out = slices.Clone(residual)
				}

				one := New(set, 1)
				defer one.Close()
				buffers()
				for r := range s.rows {
					g, u, d := gate, up, down
					g.Out, u.Out, d.Out = g.Out[r*s.ff:][:s.ff], u.Out[r*s.ff:][:s.ff], d.Out[r*s.hidden:][:s.hidden]
					one.MatMul(x[r*s.hidden:][:s.hidden], 1, g, u)
					one.Activate(f, g.Out, u.Out, 1, s.ff)
					one.MatMul(g.Out, 1, d)
				}
				wantGate, want := gate.Out, down.Out

				many := New(set, threads)
				defer many.Close()
				buffers()
				many.FeedForward(f, x, s.rows, gate, up, down)
				sameBits(t, what+": hidden", gate.Out, wantGate)
				sameBits(t, what+": output", down.Out, want)
			}
		}
	}
}

// TestProductsOfARangeAreThoseOfRows has several products of unlike heights, the
// last units of which are not whole.
func TestProductsOfARangeAreThoseOfRows(t *testing.T) {
	const cols = 64
	for _, set := range kernel.Sets() {
		for _, panel := range []bool{true, false} {
			heights := []int{70, 33, 16}
			x := noise("x", cols, 1)
			one, many := New(set, 1), New(set, 3)
			defer one.Close()
			defer many.Close()
			var products []Product
			for i, n := range heights {
				p := projection(t, fmt.Sprint("product", i), n, cols, panel)
				p.Out, p.Add = noise("out", n, 1), i == 1
				products = append(products, p)
			}
			var want [][]float32
			for _, p := range products {
				p.Out = slices.Clone(p.Out)
				for first := 0; first < p.W.Rows; first += kernel.GroupRows {
					n := min(kernel.GroupRows, p.W.Rows-first)
					q := Product{Out: p.Out[first:][:n], Add: p.Add}
					q.W = tensor.Matrix{Type: tensor.F32, Rows: n, Cols: cols, Data: p.W.Data[first*p.W.RowBytes():][:n*p.W.RowBytes()]}
					if panel {
						var err error
						if q.Panel, err = kernel.Repack(q.W); err != nil {
							t.Fatal(err)
						}
					}
					one.MatMul(x, 1, q)
				}
				want = append(want, p.Out)
			}
			many.MatMul(x, 1, products...)
			for i, p := range products {
				sameBits(t, fmt.Sprintf("%s, panel %v, product %d", set.Name, panel, i), p.Out, want[i])
			}
		}
	}
}
