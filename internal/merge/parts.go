package merge

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// part is one tensor of the merged model.
type part struct {
	stored tensor.Matrix // the base's, under GGUF's name
	theirs string        // Hugging Face's name
	target lora.Target   // where it is a projection
	linear bool          // it is one
	factor *lora.Factor  // to add to it; nil: none
	grow   growth
}

// growth says which rows a part has for tokens behind the base's vocabulary.
type growth int

const (
	never     growth = iota
	embedding        // the adapter's, which also replace rows of the base
	head             // the mean of the others
)

// headName is GGUF's name of a head that is not the embedding.
const headName = "output.weight"

// list lists the parts of the model.
func (m *Merger) list() error {
	w := &m.base.Weights
	if s, c := m.adapter.Shape, w.Config; len(m.adapter.Layers) != len(w.Layers) || s.Hidden != c.Hidden {
		return fmt.Errorf("the adapter is for %d layers of width %d, and the model has %d of %d", len(m.adapter.Layers), s.Hidden, len(w.Layers), c.Hidden)
	}
	vector := func(stored tensor.Matrix, theirs string) {
		m.parts = append(m.parts, part{stored: stored, theirs: theirs})
	}
	m.parts = append(m.parts, part{stored: w.Embedding, theirs: "model.embed_tokens.weight", grow: embedding})
	for i, l := range w.Layers {
		block := fmt.Sprintf("model.layers.%d.", i)
		vector(l.AttnNorm, block+"input_layernorm.weight")
		vector(l.FFNorm, block+"post_attention_layernorm.weight")
		for t, stored := range [lora.Targets]tensor.Matrix{l.Q, l.K, l.V, l.O, l.Gate, l.Up, l.Down} {
			f := m.adapter.Layers[i][t]
			if f != nil && (f.In != stored.Cols || f.Out != stored.Rows) {
				return fmt.Errorf("the adapter changes %s by [%d, %d], and the model's is [%d, %d]", stored.Name, f.Out, f.In, stored.Rows, stored.Cols)
			}
			theirs := lora.Module(i, lora.Target(t)) + ".weight"
			m.parts = append(m.parts, part{stored: stored, theirs: theirs, target: lora.Target(t), linear: true, factor: f})
		}
	}
	vector(w.OutputNorm, "model.norm.weight")
	if !m.tied {
		stored := w.Head
		stored.Name = headName // where it was the embedding until now
		m.parts = append(m.parts, part{stored: stored, theirs: "lm_head.weight", grow: head})
	}
	return nil
}
