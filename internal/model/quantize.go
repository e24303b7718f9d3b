package model

import (
	"fmt"
	"strings"

	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// QuantizeTo makes products read float matrices rounded to a type, by its name: q8_0, q4_0
// or q4_k; "" leaves them. The stored weights, and so the digest, stay. A model without such
// matrices is an error.
func (m *Model) QuantizeTo(name string) error {
	if name == "" {
		return nil
	}
	t := tensor.TypeNamed(strings.ToUpper(name))
	if !quant.CanQuantize(t) {
		return fmt.Errorf("weights cannot be rounded to %q: use q8_0, q4_0 or q4_k", name)
	}
	for s, stored := range m.All() {
		if m.rounded(s.Role, *stored, t) != tensor.Invalid {
			m.Quantize = t
			return nil
		}
	}
	return fmt.Errorf("%s: its matrices are stored as %s already, and only F32, F16 and BF16 are rounded when a model is opened: leave the rounding to %s out",
		m.Path, m.Layers[0][Q].Type, name)
}

// AsProduct returns the shape and type of a matrix as products read it, without its data,
// and whether that takes memory of its own.
func (w *Weights) AsProduct(r Role, m tensor.Matrix) (tensor.Matrix, bool) {
	m.Data = nil
	t := w.rounded(r, m, w.Quantize)
	if t == tensor.Invalid {
		return m, false
	}
	m.Type = t
	return m, true
}

// Product returns a matrix as products read it: as it is stored, or rounded to w.Quantize,
// in memory of its own.
func (w *Weights) Product(r Role, m tensor.Matrix) (tensor.Matrix, error) {
	out, own := w.AsProduct(r, m)
	if !own {
		return m, nil
	}
	row := make([]float32, m.Cols)
	out.Data = make([]byte, 0, m.Rows*out.RowBytes())
	for i := range m.Rows {
		quant.Row(row, m, i)
		data, err := quant.Quantize(out.Type, row)
		if err != nil {
			return m, fmt.Errorf("%s: row %d: %w: the model is damaged", m.Name, i, err)
		}
		out.Data = append(out.Data, data...)
	}
	return out, nil
}

// rounded returns the type to which a matrix is rounded if matrices are rounded to t; Invalid:
// it stays. The head has 8 bits, as in llama.cpp's mixtures, and so have rows that are no
// whole blocks of t.
func (w *Weights) rounded(r Role, m tensor.Matrix, t tensor.Type) tensor.Type {
	product := r.Projection() || r == Head || r == ProjectIn || r == ProjectOut
	if t == tensor.Invalid || !product || m.Rows == 0 || m.Type.BlockWeights() > 1 {
		return tensor.Invalid
	}
	if r == Head || m.Cols%t.BlockWeights() != 0 {
		t = tensor.Q8_0
	}
	if m.Cols%t.BlockWeights() != 0 {
		return tensor.Invalid
	}
	return t
}

// Quantized returns the weights with each matrix as products read it, in memory of their
// own; w itself where nothing is rounded. It is for what does not load them by Product.
func (w *Weights) Quantized() (*Weights, error) {
	if w.Quantize == tensor.Invalid {
		return w, nil
	}
	out := *w
	out.Quantize, out.Layers = tensor.Invalid, make([]Tensors, len(w.Layers))
	copy(out.Layers, w.Layers)
	for s, stored := range out.All() {
		var err error
		if *stored, err = w.Product(s.Role, *stored); err != nil {
			return nil, err
		}
	}
	return &out, nil
}
