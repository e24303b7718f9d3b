//go:build cuda

package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// TestNorms compares norms with float64, and rows with rows alone.
func TestNorms(t *testing.T) {
	c := newCard(t)
	rng := rand.New(rand.NewPCG(4, 4))
	for _, width := range []int{64, 200, 576, 4096, 5000} {
		for layer := range int32(2) {
			const rows = 5
			x, scale, bias := gaussian(rng, rows*width, 3), gaussian(rng, width, 1), gaussian(rng, width, 1)
			p := &Norm{X: put(c, x), Scale: put(c, scale), To: c.alloc(int64(rows*width*4), 0xff), Rows: rows, Width: int32(width), XStride: int32(width), ToStride: int32(width), Eps: 1e-5, Layer: layer}
			if layer == 1 {
				p.Bias = put(c, bias)
			}
			c.check(c.set.Norm(c.stream, p, false))
			got := get[float32](c, p.To, rows*width)
			var want []float64
			for r := range rows {
				row, mean, square := x[r*width:][:width], 0.0, 0.0
				if layer == 1 {
					for _, v := range row {
						mean += float64(v) / float64(width)
					}
				}
				for _, v := range row {
					square += (float64(v) - mean) * (float64(v) - mean) / float64(width)
				}
				for k, v := range row {
					y := (float64(v) - mean) / math.Sqrt(square+float64(p.Eps)) * float64(scale[k])
					if layer == 1 {
						y += float64(bias[k])
					}
					want = append(want, y)
				}
			}
			name := fmt.Sprintf("width %d, layer %d", width, layer)
			near(t, name, got, want, 1e-6)
			p.Rows = 1
			p.X += driver.Ptr(3 * width * 4)
			c.check(c.set.Norm(c.stream, p, false))
			same(t, name+": a row alone", get[float32](c, p.To, width), got[3*width:][:width])
			p.Sum = 1 // to what the row has just been set to
			c.check(c.set.Norm(c.stream, p, false))
			for k, v := range get[float32](c, p.To, width) {
				if v != 2*got[3*width+k] {
					t.Fatalf("%s: the sum has %v at %d, want twice %v", name, v, k, got[3*width+k])
				}
			}
		}
	}
}

// TestLookups compares Embed and Gather with the host's.
func TestLookups(t *testing.T) {
	c := newCard(t)
	rng := rand.New(rand.NewPCG(5, 5))
	const table, width, rows = 9, 512, 4
	tokens := []int32{8, 0, -1, 3}
	for stored, kind := range storedTypes {
		data := storedBytes(rng, stored, table*width)
		values := make([]float32, table*width)
		quant.Dequantize(kind, values, data)
		before := gaussian(rng, rows*width, 1)
		x := put(c, before)
		p := &Embed{Tokens: put(c, tokens), Table: put(c, data), X: x, Rows: rows, Width: width, Stride: width, Stored: stored}
		c.check(c.set.Embed(c.stream, p, false))
		got := get[float32](c, x, rows*width)
		for r, token := range tokens {
			for k := range width {
				want := before[r*width+k]
				if token >= 0 {
					want = values[int(token)*width+k]
				}
				if math.Abs(float64(got[r*width+k]-want)) > 1e-6 {
					t.Fatalf("stored type %d: row %d has %v at %d, want %v", stored, r, got[r*width+k], k, want)
				}
			}
		}
	}
	from, index := gaussian(rng, 6*width, 1), []int32{5, 5, 1}
	to := c.alloc(3*width*4, 0xff)
	c.check(c.set.Gather(c.stream, &Gather{Index: put(c, index), From: put(c, from), To: to, Rows: 3, Width: width, Stride: width}, false))
	for i, v := range get[float32](c, to, 3*width) {
		if v != from[int(index[i/width])*width+i%width] {
			t.Fatalf("gathered number %d is %v", i, v)
		}
	}
}

// TestElementwise compares functions of single numbers with float64.
func TestElementwise(t *testing.T) {
	c := newCard(t)
	rng := rand.New(rand.NewPCG(6, 6))
	const rows, width, stride = 3, 300, 320
	x, y := gaussian(rng, rows*stride, 3), gaussian(rng, rows*stride, 3)
	x[0], x[1], x[2] = -100, 100, 0 // where exponentials end
	for _, op := range []struct {
		op Op
		y  bool
		f  func(x, y float64) float64
	}{
		{OpCopy, false, func(x, _ float64) float64 { return x }},
		{OpAdd, true, func(x, y float64) float64 { return x + y }},
		{OpScale, false, func(x, _ float64) float64 { return x * 1.5 }},
		{OpCap, false, func(x, _ float64) float64 { return 1.5 * math.Tanh(x/1.5) }},
		{OpActivate + Op(SiLU), true, func(x, y float64) float64 { return x / (1 + math.Exp(-x)) * y }},
		{OpActivate + Op(GELUTanh), true, func(x, y float64) float64 {
			return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) * y
		}},
		{OpActivate + Op(ReLU), false, func(x, _ float64) float64 { return max(x, 0) }},
	} {
		p := &Elementwise{X: put(c, x), To: c.alloc(rows*stride*4, 0xff), Rows: rows, Width: width, XStride: stride, YStride: stride, ToWidth: stride, Op: op.op, By: 1.5}
		if op.y {
			p.Y = put(c, y)
		}
		c.check(c.set.Elementwise(c.stream, p, false))
		all := get[float32](c, p.To, rows*stride)
		var got []float32
		var want []float64
		for i := range all {
			if i%stride < width {
				got, want = append(got, all[i]), append(want, op.f(float64(x[i]), float64(y[i])))
			} else if all[i] == all[i] {
				t.Errorf("function %d wrote number %d, behind the width", op.op, i)
			}
		}
		near(t, fmt.Sprintf("function %d", op.op), got, want, 1e-5)
	}
}

// TestLowRank compares low-rank updates with float64, and rows with rows alone.
func TestLowRank(t *testing.T) {
	c := newCard(t)
	rng := rand.New(rand.NewPCG(9, 9))
	const rows, cols, most, out = 3, 576, 16, 200
	x, values := c.inputs(rng, F16, rows, cols)
	p := &LowRank{X: x, Middle: c.alloc(2*rows*most*4, 0xff), Count: 2, Rows: rows, Cols: cols, XStride: int32(Pad(cols)), MaxRank: most, MaxOut: out, Half: 1}
	var want [][]float64
	var before [][]float32
	for i, rank := range []int{16, 5} {
		a, b, to := gaussian(rng, rank*cols, 0.1), gaussian(rng, (out-i)*rank, 0.1), gaussian(rng, rows*out, 1)
		p.Updates[i] = Update{A: put(c, a), B: put(c, b), To: put(c, to), Scale: 2, Rank: int32(rank), Out: int32(out - i), Stride: out}
		w := make([]float64, rows*out)
		for r := range rows {
			for n := range out {
				w[r*out+n] = float64(to[r*out+n])
				for j := range rank {
					s := 0.0
					for k := range cols {
						s += float64(a[j*cols+k]) * float64(values[r*cols+k])
					}
					if n < out-i {
						w[r*out+n] += 2 * s * float64(b[n*rank+j])
					}
				}
			}
		}
		want, before = append(want, w), append(before, to)
	}
	c.check(c.set.LowRank(c.stream, p, false))
	for i, w := range want {
		got := get[float32](c, p.Updates[i].To, rows*out)
		near(t, fmt.Sprintf("update %d", i), got, w, 1e-5)
		c.check(c.d.Write(p.Updates[i].To, bytesOf(before[i][2*out:])))
		want[i] = nil
		before[i] = got
	}
	p.Rows = 1
	p.X += driver.Ptr(2 * Pad(cols) * 2)
	c.check(c.set.LowRank(c.stream, p, false))
	for i := range want {
		same(t, fmt.Sprintf("update %d of a row alone", i), get[float32](c, p.Updates[i].To, out), before[i][2*out:])
	}
}

// TestChoose compares chosen tokens with those that the host finds in float64.
func TestChoose(t *testing.T) {
	c := newCard(t)
	rng := rand.New(rand.NewPCG(10, 10))
	const vocab, stride = 5000, 5056
	var choices []Choice
	for _, f := range []Choice{{}, {Temperature: 1}, {Temperature: 0.7, TopK: 40}, {Temperature: 1.5, TopP: 0.9}, {Temperature: 0.8, TopK: 100, TopP: 0.5}, {Temperature: 1, MinP: 0.1}, {Temperature: 1, TopK: 1}} {
		for range 8 {
			f.Uniform = float32(rng.Float64())
			choices = append(choices, f)
		}
	}
	rows := len(choices)
	logits := gaussian(rng, rows*stride, 3)
	logits[100], logits[200] = 50, 50 // equals: the smaller token
	logits[3*stride+7] = float32(math.NaN())
	p := &Choose{Logits: put(c, logits), Choices: put(c, choices), Tokens: c.alloc(int64(4*rows), 0xff), Finite: c.alloc(int64(4*rows), 0xff), Rows: int32(rows), Vocab: vocab, Stride: stride}
	c.check(c.set.Choose(c.stream, p, false))
	tokens, finite := get[int32](c, p.Tokens, rows), get[int32](c, p.Finite, rows)
	for r, choice := range choices {
		x := logits[r*stride:][:vocab]
		if want := int32(1); finite[r] != want && r != 3 || r == 3 && finite[r] != 0 {
			t.Errorf("row %d is finite: %d", r, finite[r])
		}
		if r == 3 {
			continue
		}
		low, high := share(x, choice, int(tokens[r]))
		if u := float64(choice.Uniform); u < low-1e-4 || u > high+1e-4 {
			t.Errorf("row %d, %+v: token %d lies at %.6f to %.6f", r, choice, tokens[r], low, high)
		}
	}
	if tokens[0] != 100 {
		t.Errorf("the greedy token of equals is %d, want 100", tokens[0])
	}
}

// share returns from where to where a token lies in the sum of the weights that a choice
// leaves, best first; nowhere if it does not leave it.
func share(x []float32, c Choice, token int) (low, high float64) {
	better := func(a, b int) bool { return x[a] > x[b] || x[a] == x[b] && a < b }
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	sortBy(order, better)
	if c.Temperature == 0 {
		if token == order[0] {
			return 0, 1
		}
		return 2, 2
	}
	most, n := float64(x[order[0]]), len(x)
	if c.TopK > 0 {
		n = int(c.TopK)
	}
	mass, sum, kept := 0.0, 0.0, 0
	for _, i := range order[:n] {
		mass += math.Exp(float64(x[i]) - most)
	}
	for kept < n {
		w := math.Exp(float64(x[order[kept]]) - most)
		if kept > 0 && (c.TopP > 0 && c.TopP < 1 && sum >= float64(c.TopP)*mass || w < float64(c.MinP)) {
			break
		}
		sum += w
		kept++
	}
	found := false
	sum = 0
	for _, i := range order[:kept] {
		w := math.Exp((float64(x[i]) - most) / float64(c.Temperature))
		if i == token {
			low, high, found = sum, sum+w, true
		}
		sum += w
	}
	if !found {
		return 2, 2
	}
	return low / sum, high / sum
}

func sortBy(order []int, less func(a, b int) bool) {
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case less(a, b):
			return -1
		case less(b, a):
			return 1
		}
		return 0
	})
}
