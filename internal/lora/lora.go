// Package lora holds adapters: low-rank updates of a frozen model's projections
// (LoRA, arXiv 2106.09685) and the embedding rows of tokens that were trained, such
// as the Marking Tokens of FlashBack.
package lora

import "github.com/flashback-lm/flashback/internal/model"

// Factor adds Scale · x·Aᵀ·Bᵀ to a projection.
type Factor struct {
	Rank, In, Out int
	A             []float32 // [Rank, In]
	B             []float32 // [Out, Rank], rows in the order of the model's weights, not PEFT's
	Scale         float32   // α/r, or α/√r for rank-stabilised LoRA
}

// Layer holds the factors of one block; nil where a projection has none.
type Layer [model.Projections]*Factor

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
			if f != nil {
				z.Layers[i][t] = &Factor{
					Rank: f.Rank, In: f.In, Out: f.Out, Scale: f.Scale,
					A: make([]float32, len(f.A)), B: make([]float32, len(f.B)),
				}
			}
		}
	}
	for i, r := range w.Rows {
		z.Rows[i] = Row{r.Token, make([]float32, len(r.Embedding))}
	}
	return z
}

// Tensors returns every trained tensor, always in the same order: layer by layer,
// target by target, A before B, then the rows. The slices alias the weights.
func (w *Weights) Tensors() [][]float32 {
	var all [][]float32
	for i := range w.Layers {
		for _, f := range w.Layers[i] {
			if f != nil {
				all = append(all, f.A, f.B)
			}
		}
	}
	for _, r := range w.Rows {
		all = append(all, r.Embedding)
	}
	return all
}
