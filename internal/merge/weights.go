package merge

import (
	"encoding/binary"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// weights returns the part's merged weights in f32, in the model's order of rows.
// They are computed in plain Go, so that every processor gives the same bits.
func (m *Merger) weights(p part) ([]float32, error) {
	plain, err := kernel.Named("go")
	if err != nil {
		return nil, err
	}
	w := make([]float32, p.stored.Rows*p.stored.Cols)
	plain.Dequantize(p.stored.Type, w, p.stored.Data)
	if p.factor != nil {
		add(w, p.factor)
	}
	width := p.stored.Cols
	switch p.grow {
	case embedding:
		w = append(w, make([]float32, len(m.added)*width)...)
		for _, r := range m.adapter.Rows {
			copy(w[int(r.Token)*width:], r.Embedding)
		}
	case head:
		// A token whose logit is the mean of all others' is never the likeliest, and less
		// probable than one in as many as they are (Jensen's inequality).
		mean := meanRow(w, width)
		for range m.added {
			w = append(w, mean...)
		}
	}
	for i, v := range w {
		if v-v != 0 {
			return nil, fmt.Errorf("tensor %q: weight %d of row %d is %v: the base model or the adapter is damaged", p.stored.Name, i%width, i/width, v)
		}
	}
	return w, nil
}

// add adds Scale · B·A to a projection [Out, In].
func add(w []float32, f *lora.Factor) {
	update := make([]float32, f.In)
	for o := range f.Out {
		clear(update)
		for r, b := range f.B[o*f.Rank : (o+1)*f.Rank] {
			for i, a := range f.A[r*f.In : (r+1)*f.In] {
				update[i] += b * a
			}
		}
		row := w[o*f.In : (o+1)*f.In]
		for i, u := range update {
			row[i] += f.Scale * u
		}
	}
}

// meanRow returns the mean of the rows of w.
func meanRow(w []float32, width int) []float32 {
	sum := make([]float64, width)
	for i, v := range w {
		sum[i%width] += float64(v)
	}
	mean := make([]float32, width)
	for i, s := range sum {
		mean[i] = float32(s / float64(len(w)/width))
	}
	return mean
}

// store merges all parts and returns them as matrices of the type that typeOf gives
// each, under GGUF's names. order, if not nil, brings a part's rows into another order.
func (m *Merger) store(typeOf func(part) tensor.Type, order func(part, []float32) []float32) ([]tensor.Matrix, error) {
	all := make([]tensor.Matrix, len(m.parts))
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for i, p := range m.parts {
		work.Go(func() error {
			w, err := m.weights(p)
			if err != nil {
				return err
			}
			if order != nil {
				w = order(p, w)
			}
			all[i], err = encode(p.stored.Name, typeOf(p), w, p.stored.Cols)
			return err
		})
	}
	return all, work.Wait()
}

// encode stores rows of finite weights as F32 or F16, to nearest, ties to even. A
// weight too large for F16 is an error.
func encode(name string, t tensor.Type, w []float32, width int) (tensor.Matrix, error) {
	m := tensor.Matrix{Name: name, Type: t, Rows: len(w) / width, Cols: width}
	if t == tensor.F32 {
		m.Data, _ = binary.Append(make([]byte, 0, 4*len(w)), binary.LittleEndian, w) // never fails for numbers
		return m, nil
	}
	plain, err := kernel.Named("go")
	if err != nil {
		return m, err
	}
	half := make([]uint16, len(w))
	plain.ToHalf(half, w)
	const infinite = 31 << 10
	for i, h := range half {
		if h&infinite == infinite {
			return m, fmt.Errorf("tensor %q: weight %d of row %d is %g, too large for F16: use --type f32", name, i%width, i/width, w[i])
		}
	}
	m.Data, _ = binary.Append(make([]byte, 0, 2*len(w)), binary.LittleEndian, half)
	return m, nil
}
