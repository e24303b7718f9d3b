package merge

import (
	"encoding/binary"
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// matrix returns a merged part without its data.
func (m *Merger) matrix(p part, t tensor.Type) tensor.Matrix {
	merged := tensor.Matrix{Name: p.stored.Name, Type: t, Rows: p.stored.Rows, Cols: p.stored.Cols}
	if p.grow != never {
		merged.Rows += len(m.added)
	}
	return merged
}

// write writes the part's merged weights, a slab of whole heads after the other.
// order, if not nil, brings the rows of heads into another order. Sums are computed in
// plain Go, so that every processor gives the same bits.
func (m *Merger) write(out io.Writer, p part, t tensor.Type, order func(rows []float32) []float32) error {
	plain, err := kernel.Named("go")
	if err != nil {
		return err
	}
	var added []float32 // the head's row for added tokens
	if p.grow == head && len(m.added) > 0 {
		added = meanRow(plain, p.stored)
	}
	rows, width, headDim := m.matrix(p, t).Rows, p.stored.Cols, m.base.Config.HeadDim
	slab := max(1, m.slab/(width*headDim)) * headDim
	for first := 0; first < rows; first += slab {
		w := make([]float32, min(slab, rows-first)*width)
		var work errgroup.Group
		work.SetLimit(runtime.GOMAXPROCS(0))
		for i := 0; i < len(w); i += headDim * width {
			work.Go(func() error {
				return m.mergeRows(plain, p, added, first+i/width, w[i:min(i+headDim*width, len(w))])
			})
		}
		if err := work.Wait(); err != nil {
			return err
		}
		if order != nil {
			w = order(w)
		}
		data, err := encode(plain, t, w, first, width)
		if err != nil {
			return err
		}
		if _, err := out.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// mergeRows fills w with merged rows from first on, in the model's order of rows. Those
// behind the base's are the adapter's, or added.
func (m *Merger) mergeRows(plain *kernel.Set, p part, added []float32, first int, w []float32) error {
	width := p.stored.Cols
	update := make([]float32, width)
	for i := range len(w) / width {
		at, row := first+i, w[i*width:(i+1)*width]
		if at < p.stored.Rows {
			plain.Dequantize(p.stored.Type, row, p.stored.Row(at))
		} else {
			copy(row, added)
		}
		if p.factor != nil {
			add(row, p.factor, at, update)
		}
		if p.grow == embedding {
			if own := m.adapter.Row(int32(at)); own != nil {
				copy(row, own)
			}
		}
		for j, v := range row {
			if v-v != 0 {
				return fmt.Errorf("weight %d of row %d is %v: the base model or the adapter is damaged", j, at, v)
			}
		}
	}
	return nil
}

// add adds row `at` of Scale · B·A to that of a projection; update is scratch.
func add(row []float32, f *lora.Factor, at int, update []float32) {
	clear(update)
	for r, b := range f.B[at*f.Rank : (at+1)*f.Rank] {
		for i, a := range f.A[r*f.In : (r+1)*f.In] {
			update[i] += b * a
		}
	}
	for i, u := range update {
		row[i] += f.Scale * u
	}
}

// meanRow returns the mean of the rows of a head. A token whose logit is the mean of
// all others' is never the likeliest, and less probable than one in as many as they are
// (Jensen's inequality).
func meanRow(plain *kernel.Set, stored tensor.Matrix) []float32 {
	row, sum := make([]float32, stored.Cols), make([]float64, stored.Cols)
	for at := range stored.Rows {
		plain.Dequantize(stored.Type, row, stored.Row(at))
		for i, v := range row {
			sum[i] += float64(v)
		}
	}
	for i, s := range sum {
		row[i] = float32(s / float64(stored.Rows))
	}
	return row
}

// encode stores finite weights of rows from first on as F32 or F16, to nearest, ties to
// even. A weight too large for F16 is an error.
func encode(plain *kernel.Set, t tensor.Type, w []float32, first, width int) ([]byte, error) {
	if t == tensor.F32 {
		return binary.Append(make([]byte, 0, 4*len(w)), binary.LittleEndian, w)
	}
	half := make([]uint16, len(w))
	plain.ToHalf(half, w)
	const infinite = 31 << 10
	for i, h := range half {
		if h&infinite == infinite {
			return nil, fmt.Errorf("weight %d of row %d is %g, too large for F16: use --type f32", i%width, first+i/width, w[i])
		}
	}
	return binary.Append(make([]byte, 0, 2*len(w)), binary.LittleEndian, half)
}
