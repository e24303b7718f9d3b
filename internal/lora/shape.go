package lora

import (
	"fmt"
	"iter"
)

// Shape is what an adapter must know of its base model.
type Shape struct {
	Layers, Hidden, Heads, KVHeads, HeadDim, FF int

	Vocab int // rows of the base's embedding
	// Tied says that the output head is the embedding.
	Tied bool
}

// Of returns the width of a projection's input and output.
func (s Shape) Of(t Target) (in, out int) {
	switch t {
	case Q:
		return s.Hidden, s.Heads * s.HeadDim
	case K, V:
		return s.Hidden, s.KVHeads * s.HeadDim
	case O:
		return s.Heads * s.HeadDim, s.Hidden
	case Down:
		return s.FF, s.Hidden
	}
	return s.Hidden, s.FF // Gate, Up
}

// modules are PEFT's names of the targets within a block.
var modules = [Targets]string{
	"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
	"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
}

// Module returns Hugging Face's name of a projection, model.layers.N.….
func Module(layer int, t Target) string {
	return fmt.Sprintf("model.layers.%d.%s", layer, modules[t])
}

// ParseTarget returns the projection of PEFT's name, such as "q_proj".
func ParseTarget(name string) (Target, error) {
	for t, known := range targetNames {
		if name == known {
			return Target(t), nil
		}
	}
	return 0, fmt.Errorf("unknown projection %q: use some of %v", name, targetNames)
}

// rotated reports whether the model's rows of a projection are in another order
// than PEFT's: GGUF pairs neighbouring rows of a head for the rotary embedding,
// (2i, 2i+1), Hugging Face rows half a head apart, (i, i+d/2).
func rotated(t Target) bool { return t == Q || t == K }

// order goes through the rows of a projection: each in the model's order, with its
// place in Hugging Face's.
func (s Shape) order(t Target, rows int) iter.Seq2[int, int] {
	return func(yield func(ours, theirs int) bool) {
		for row := range rows {
			theirs := row
			if rotated(t) {
				head, at := row/s.HeadDim*s.HeadDim, row%s.HeadDim
				theirs = head + at%2*(s.HeadDim/2) + at/2
			}
			if !yield(row, theirs) {
				return
			}
		}
	}
}

// FromHuggingFace returns the rows [rows, width] of a projection in the model's
// order, from Hugging Face's.
func (s Shape) FromHuggingFace(t Target, rows []float32, width int) []float32 {
	out := make([]float32, len(rows))
	for ours, theirs := range s.order(t, len(rows)/width) {
		copy(out[ours*width:(ours+1)*width], rows[theirs*width:])
	}
	return out
}

// ToHuggingFace is the reverse of FromHuggingFace.
func (s Shape) ToHuggingFace(t Target, rows []float32, width int) []float32 {
	out := make([]float32, len(rows))
	for ours, theirs := range s.order(t, len(rows)/width) {
		copy(out[theirs*width:(theirs+1)*width], rows[ours*width:])
	}
	return out
}
