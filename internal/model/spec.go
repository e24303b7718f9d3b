package model

import (
	"fmt"
	"iter"
	"strings"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// Spec describes one tensor of a model.
type Spec struct {
	Role        Role
	Layer       int    // of In; else 0
	GGUF        string // its name in GGUF files
	HuggingFace string // its name in Hugging Face's checkpoints
	Rows, Cols  int    // [out, in] of a projection; a vector has one row
	// Optional tensors may be absent: a head then is the embedding.
	Optional bool
	// Paired is the width of a head where GGUF pairs neighbouring rows of it for the
	// rotary embedding, (2i, 2i+1), and Hugging Face rows half a head apart, (i, i+d/2);
	// 0: both have the same order of rows.
	Paired int
	// Of is, where the file has several parts in one tensor, how many rows that has (of a
	// vector: numbers), and First where this part begins; 0: the tensor is this one.
	First, Of int
	// Transposed says that Hugging Face stores the matrix as [in, out].
	Transposed bool
	// LessOne says that Hugging Face stores a norm's scale less 1.
	LessOne bool
}

// Part returns what the Spec describes of a tensor of the file.
func (s Spec) Part(m tensor.Matrix) tensor.Matrix {
	if s.Of == 0 {
		return m
	}
	if s.Rows == 1 {
		bytes := m.Type.RowBytes(s.First)
		m.Data, m.Cols = m.Data[bytes:bytes+m.Type.RowBytes(s.Cols)], s.Cols
		return m
	}
	m.Data, m.Rows = m.Data[s.First*m.RowBytes():(s.First+s.Rows)*m.RowBytes()], s.Rows
	return m
}

// Stored returns the shape of the tensor that has the part.
func (s Spec) Stored() (rows, cols int) {
	switch {
	case s.Of == 0:
		return s.Rows, s.Cols
	case s.Rows == 1:
		return 1, s.Of
	}
	return s.Of, s.Cols
}

// Module returns Hugging Face's name of the module that the tensor is the weight of,
// such as model.layers.3.self_attn.q_proj.
func (s Spec) Module() string { return strings.TrimSuffix(s.HuggingFace, ".weight") }

// In returns the tensor of a block, given that of the list.
func (s Spec) In(layer int) Spec {
	s.Layer, s.GGUF, s.HuggingFace = layer, fmt.Sprintf(s.GGUF, layer), fmt.Sprintf(s.HuggingFace, layer)
	return s
}

// Outside lists the tensors outside the blocks.
func (c Config) Outside() []Spec {
	outside, _ := c.family().tensors(c)
	return outside
}

// Block lists the tensors of a block, whose names have %d for its number: see In.
func (c Config) Block() []Spec {
	_, block := c.family().tensors(c)
	return block
}

// All goes through the tensors of the family's list with where each is bound: those
// outside the blocks, then block by block. Those that the model lacks have no rows.
func (w *Weights) All() iter.Seq2[Spec, *tensor.Matrix] {
	return func(yield func(Spec, *tensor.Matrix) bool) {
		for _, s := range w.Config.Outside() {
			if !yield(s, &w.Tensors[s.Role]) {
				return
			}
		}
		block := w.Config.Block()
		for i := range w.Layers {
			for _, s := range block {
				if !yield(s.In(i), &w.Layers[i][s.Role]) {
					return
				}
			}
		}
	}
}

// ToHuggingFace returns rows [n, width] in Hugging Face's order from the model's; n
// is a multiple of Paired.
func (s Spec) ToHuggingFace(rows []float32, width int) []float32 {
	out := make([]float32, len(rows))
	for ours, theirs := range s.order(len(rows) / width) {
		copy(out[theirs*width:(theirs+1)*width], rows[ours*width:])
	}
	return out
}

// FromHuggingFace is the reverse of ToHuggingFace.
func (s Spec) FromHuggingFace(rows []float32, width int) []float32 {
	out := make([]float32, len(rows))
	for ours, theirs := range s.order(len(rows) / width) {
		copy(out[ours*width:(ours+1)*width], rows[theirs*width:])
	}
	return out
}

// order goes through n rows: each in the model's order, with its place in Hugging
// Face's.
func (s Spec) order(n int) iter.Seq2[int, int] {
	return func(yield func(ours, theirs int) bool) {
		for row := range n {
			theirs := row
			if d := s.Paired; d > 0 {
				theirs = row/d*d + row%2*(d/2) + row%d/2
			}
			if !yield(row, theirs) {
				return
			}
		}
	}
}
