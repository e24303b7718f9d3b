package oracle

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

func matrix(rows, cols int) [][]float32 {
	data := make([]float32, rows*cols)
	m := make([][]float32, rows)
	for i := range m {
		m[i] = data[i*cols : (i+1)*cols]
	}
	return m
}

// expand returns rows [from, to) of stored weights.
func expand(m tensor.Matrix, from, to int) [][]float32 {
	rows := matrix(to-from, m.Cols)
	for i := range rows {
		quant.Row(rows[i], m, from+i)
	}
	return rows
}

// gather returns the rows of an embedding.
func gather(m tensor.Matrix, rows []int32) [][]float32 {
	x := make([][]float32, len(rows))
	for i, r := range rows {
		x[i] = expand(m, int(r), int(r)+1)[0]
	}
	return x
}

// linear returns x · wᵀ: [rows of x, rows of w].
func linear(x [][]float32, w tensor.Matrix) [][]float32 {
	out := matrix(len(x), w.Rows)
	const block = 16
	parallel((w.Rows+block-1)/block, func(b int) {
		from := b * block
		weights := expand(w, from, min(from+block, w.Rows))
		for i, row := range x {
			j := 0
			for ; j+4 <= len(weights); j += 4 {
				dot4((*[4]float32)(out[i][from+j:]), row, weights[j], weights[j+1], weights[j+2], weights[j+3])
			}
			for ; j < len(weights); j++ {
				out[i][from+j] = dot(row, weights[j])
			}
		}
	})
	return out
}

// dot4 sets out to four dot products with x.
func dot4(out *[4]float32, x, a, b, c, d []float32) {
	a, b, c, d = a[:len(x)], b[:len(x)], c[:len(x)], d[:len(x)]
	var p, q, r, s float32
	for i, v := range x {
		p += v * a[i]
		q += v * b[i]
		r += v * c[i]
		s += v * d[i]
	}
	*out = [4]float32{p, q, r, s}
}

func dot(x, y []float32) float32 {
	y = y[:len(x)]
	var sum float32
	for i, v := range x {
		sum += v * y[i]
	}
	return sum
}

// normed returns x behind a norm, row by row: x / sqrt(mean(x²) + eps) · scale, or
// (x - mean(x)) / sqrt(var(x) + eps) · scale + bias.
func normed(x [][]float32, of model.Tensors, norm model.Role, c model.Config) [][]float32 {
	weights := expand(of[norm], 0, 1)[0]
	bias := make([]float32, len(weights))
	if c.LayerNorm {
		bias = expand(of[norm.Bias()], 0, 1)[0]
	}
	out := matrix(len(x), len(weights))
	for i, row := range x {
		var mean, squares float64
		if c.LayerNorm {
			for _, v := range row {
				mean += float64(v) / float64(len(row))
			}
		}
		for _, v := range row {
			squares += (float64(v) - mean) * (float64(v) - mean)
		}
		r := 1 / math.Sqrt(squares/float64(len(row))+float64(c.NormEps))
		for j, v := range row {
			out[i][j] = float32((float64(v)-mean)*r*float64(weights[j]) + float64(bias[j]))
		}
	}
	return out
}

// addRow adds y to every row of x.
func addRow(x [][]float32, y []float32) {
	for _, row := range x {
		for j, v := range y {
			row[j] += v
		}
	}
}

// add adds y to x.
func add(x, y [][]float32) {
	for i, row := range y {
		for j, v := range row {
			x[i][j] += v
		}
	}
}

// parallel calls f for each of 0 … n-1, on all processors.
func parallel(n int, f func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}
