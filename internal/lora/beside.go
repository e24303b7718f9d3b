package lora

import (
	"cmp"
	"hash"
	"math"
	"slices"

	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// Beside is what adapters of PEFT's may change beside projections and embedding rows.
// Training here changes none of it, and it applies to all tokens alike.
type Beside struct {
	// Saved stand in the place of tensors of the base (modules_to_save, or the head that
	// is saved when a vocabulary was resized): norms, and the head [vocabulary, width].
	Saved []Saved
	// Head adds to the output head, rows [vocabulary].
	Head *Factor
	// Embedding adds Scale · B·A[:, t] to the embedding of token t; A is [Rank, tokens].
	Embedding *Factor
	// TiedRows says that rows of the base's vocabulary stand in the output head too,
	// which is the embedding.
	TiedRows bool
}

// Saved is a tensor of a model, whole.
type Saved struct {
	model.Spec
	tensor.Matrix
}

// Any reports whether there is anything.
func (b *Beside) Any() bool {
	return len(b.Saved) > 0 || b.Head != nil || b.Embedding != nil || b.TiedRows
}

// digest writes it to a hash; nothing where there is nothing.
func (b *Beside) digest(h hash.Hash, number func(int)) {
	for i, f := range []*Factor{b.Head, b.Embedding} {
		if f == nil {
			continue
		}
		for _, n := range []int{-2 - i, f.Rank, f.In, f.Out, int(math.Float32bits(f.Scale))} {
			number(n)
		}
		hashFloats(h, f.A)
		hashFloats(h, f.B)
	}
	saved := slices.Clone(b.Saved) // whatever their order in the file
	slices.SortFunc(saved, func(x, y Saved) int { return cmp.Or(cmp.Compare(x.Layer, y.Layer), cmp.Compare(x.Role, y.Role)) })
	for _, s := range saved {
		for _, n := range []int{-4, s.Layer, int(s.Role)} {
			number(n)
		}
		h.Write(s.Data)
	}
	if b.TiedRows {
		number(-5)
	}
}

// Over returns the weights with what the adapter saved in the place of the base's: the
// weights themselves where it saved nothing.
func (a *Adapter) Over(w *model.Weights) *model.Weights {
	if len(a.Saved) == 0 && !a.TiedRows {
		return w
	}
	over := *w
	over.Layers = slices.Clone(w.Layers)
	if own, ok := a.OwnHead(w); ok {
		over.Tensors[model.Head] = own
	}
	for _, s := range a.Saved {
		switch s.Role {
		case model.Head:
		case model.OutputNorm, model.OutputNormBias:
			over.Tensors[s.Role] = s.Matrix
		default:
			over.Layers[s.Layer][s.Role] = s.Matrix
		}
	}
	return &over
}

// OwnHead returns the head that stands in the place of the base's, if any does.
func (a *Adapter) OwnHead(w *model.Weights) (tensor.Matrix, bool) {
	if i := slices.IndexFunc(a.Saved, func(s Saved) bool { return s.Role == model.Head }); i >= 0 {
		return filled(a.Saved[i].Matrix, w.Tensors[model.Head]), true
	}
	if a.TiedRows {
		return a.tiedHead(w), true
	}
	return tensor.Matrix{}, false
}

// filled returns a table with the base's rows behind its own, as many as the base has.
func filled(m, base tensor.Matrix) tensor.Matrix {
	if m.Rows == base.Rows {
		return m
	}
	all := make([]float32, base.Rows*base.Cols)
	for i := range base.Rows {
		from := base
		if i < m.Rows {
			from = m
		}
		quant.Row(all[i*base.Cols:(i+1)*base.Cols], from, i)
	}
	m.Rows, m.Type, m.Data = base.Rows, tensor.F32, safetensors.F32("", all).Data
	return m
}

// tiedHead returns the embedding with the adapter's rows.
func (a *Adapter) tiedHead(w *model.Weights) tensor.Matrix {
	base := w.Tensors[model.Embedding]
	all := make([]float32, base.Rows*base.Cols)
	for i := range base.Rows {
		row := all[i*base.Cols : (i+1)*base.Cols]
		if own := a.Row(int32(i)); own != nil {
			copy(row, own)
		} else {
			quant.Row(row, base, i)
		}
	}
	return tensor.Matrix{Name: a.Shape.Head.GGUF, Type: tensor.F32, Rows: base.Rows, Cols: base.Cols, Data: safetensors.F32("", all).Data}
}

// Embed returns the embedding that the adapter has for a token, given the base's
// embedding; nil where it changes nothing.
func (a *Adapter) Embed(base tensor.Matrix, token int32) []float32 {
	row, f := a.Row(token), a.Embedding
	if f == nil || int(token) >= f.In || row == nil && int(token) >= base.Rows {
		return row
	}
	sum := make([]float32, f.Out)
	if row != nil {
		copy(sum, row)
	} else {
		quant.Row(sum, base, int(token))
	}
	for i := range sum {
		var update float32
		for r := range f.Rank {
			update += f.B[i*f.Rank+r] * f.A[r*f.In+int(token)]
		}
		sum[i] += f.Scale * update
	}
	return sum
}
