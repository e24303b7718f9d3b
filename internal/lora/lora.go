// Package lora holds adapters: low-rank updates of a frozen model's projections
// (LoRA, arXiv 2106.09685) and the embedding rows of tokens that were trained, such
// as the Marking Tokens of FlashBack.
package lora

import "github.com/flashback-lm/flashback/internal/model"

// Factor adds Scale · x·Aᵀ·Bᵀ to a projection.
type Factor struct {
	Rank, In, Out int
	A             []float32 // [Rank, In]; projections of one module share it
	B             []float32 // [Out, Rank], rows in the order of the model's weights, not PEFT's
	Scale         float32   // α/r, or α/√r for rank-stabilised LoRA
}

// Layer holds the factors of one block; nil where a projection has none.
type Layer [model.Projections]*Factor

// shares returns the first projection whose factor has the A of a projection's.
func (l *Layer) shares(t int) int {
	for r, f := range l[:t] {
		if f != nil && len(f.A) > 0 && len(l[t].A) > 0 && &f.A[0] == &l[t].A[0] {
			return r
		}
	}
	return t
}

// Row is the embedding of a token that replaces the model's own, or that the
// model's embedding has no row for.
type Row struct {
	Token     int32
	Embedding []float32 // [hidden]
}

// Weights are what training changes.
type Weights struct {
	Layers []Layer
	Rows   []Row // by token, ascending
}

// Like returns weights of the same shape, all zero: for gradients and the moments
// of an optimiser.
func (w *Weights) Like() *Weights {
	z := &Weights{Layers: make([]Layer, len(w.Layers)), Rows: make([]Row, len(w.Rows))}
	for i := range w.Layers {
		for t, f := range w.Layers[i] {
			if f == nil {
				continue
			}
			like := &Factor{Rank: f.Rank, In: f.In, Out: f.Out, Scale: f.Scale, B: make([]float32, len(f.B))}
			if r := w.Layers[i].shares(t); r < t {
				like.A = z.Layers[i][r].A
			} else {
				like.A = make([]float32, len(f.A))
			}
			z.Layers[i][t] = like
		}
	}
	for i, r := range w.Rows {
		z.Rows[i] = Row{r.Token, make([]float32, len(r.Embedding))}
	}
	return z
}

// Tensors returns every trained tensor once, always in the same order: layer by layer,
// target by target, A before B, then the rows. The slices alias the weights.
func (w *Weights) Tensors() [][]float32 {
	var all [][]float32
	for i := range w.Layers {
		for t, f := range w.Layers[i] {
			switch {
			case f == nil:
			case w.Layers[i].shares(t) < t:
				all = append(all, f.B)
			default:
				all = append(all, f.A, f.B)
			}
		}
	}
	for _, r := range w.Rows {
		all = append(all, r.Embedding)
	}
	return all
}
