package merge

import (
	"encoding/binary"
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// write writes the part's merged weights, a slab of whole heads after the other.
// order, if not nil, brings the rows of heads into another order.
func (m *Merger) write(out io.Writer, p part, t tensor.Type, order func(rows []float32) []float32) error {
	var added []float32 // the head's row for added tokens
	if p.Role == model.Head && len(m.added) > 0 {
		// A token whose logit is the mean of all others' is never the likeliest, and
		// less probable than one in as many as they are (Jensen's inequality).
		added = quant.MeanRow(p.stored)
	}
	rows, width, headDim := m.rows(p), p.stored.Cols, m.base.Config.HeadDim
	slab := max(1, m.slab/(width*headDim)) * headDim
	for first := 0; first < rows; first += slab {
		w := make([]float32, min(slab, rows-first)*width)
		var work errgroup.Group
		work.SetLimit(runtime.GOMAXPROCS(0))
		for i := 0; i < len(w); i += headDim * width {
			work.Go(func() error {
				return m.mergeRows(p, added, first+i/width, w[i:min(i+headDim*width, len(w))])
			})
		}
		if err := work.Wait(); err != nil {
			return err
		}
		if order != nil {
			w = order(w)
		}
		data, err := encode(t, w, first, width)
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
func (m *Merger) mergeRows(p part, added []float32, first int, w []float32) error {
	width := p.stored.Cols
	update := make([]float32, width)
	for i := range len(w) / width {
		at, row := first+i, w[i*width:(i+1)*width]
		if at < p.stored.Rows {
			quant.Row(row, p.stored, at)
		} else {
			copy(row, added)
		}
		if p.factor != nil && at < p.stored.Rows {
			add(row, p.factor, at, update)
		}
		if p.Role == model.Embedding {
			if own := m.adapter.Embed(p.stored, int32(at)); own != nil {
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

// encode stores finite weights of rows from first on as F32 or F16, to nearest, ties to
// even. A weight too large for F16 is an error.
func encode(t tensor.Type, w []float32, first, width int) ([]byte, error) {
	if t == tensor.F32 {
		return binary.Append(make([]byte, 0, 4*len(w)), binary.LittleEndian, w)
	}
	const infinite = 31 << 10
	data := make([]byte, 0, 2*len(w))
	for i, v := range w {
		h := tensor.ToHalf(v)
		if h&infinite == infinite {
			return nil, fmt.Errorf("weight %d of row %d is %g, too large for F16: use --type f32", i%width, first+i/width, v)
		}
		data = binary.LittleEndian.AppendUint16(data, h)
	}
	return data, nil
}
