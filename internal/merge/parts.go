package merge

import (
	"fmt"
	"slices"

	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// part is one tensor of the merged model.
type part struct {
	model.Spec
	stored tensor.Matrix // the base's, under GGUF's name
	factor *lora.Factor  // to add to it; nil: none
}

// grows reports whether a part has rows for tokens behind the base's vocabulary: those
// of the embedding are the adapter's, which also replace rows of the base, and those of
// the head the mean of the others.
func (p part) grows() bool { return p.Role == model.Embedding || p.Role == model.Head }

// whole is a tensor of a file: a part, or several one behind the other.
type whole []part

// wholes returns the parts by the tensors that have them.
func (m *Merger) wholes() []whole {
	var all []whole
	at := map[string]int{}
	for _, p := range m.parts {
		i, ok := at[p.GGUF]
		if !ok {
			i = len(all)
			at[p.GGUF], all = i, append(all, nil)
		}
		all[i] = append(all[i], p)
	}
	for _, w := range all {
		slices.SortFunc(w, func(a, b part) int { return a.First - b.First })
	}
	return all
}

// matrix returns the merged tensor without its data.
func (m *Merger) matrix(w whole, t tensor.Type) tensor.Matrix {
	merged := tensor.Matrix{Name: w[0].stored.Name, Type: t, Rows: m.rows(w[0]), Cols: w[0].stored.Cols}
	for _, p := range w[1:] {
		if merged.Rows == 1 {
			merged.Cols += p.stored.Cols
		} else {
			merged.Rows += p.stored.Rows
		}
	}
	return merged
}

// rows returns how many rows a merged part has.
func (m *Merger) rows(p part) int {
	if p.grows() {
		return p.stored.Rows + len(m.added)
	}
	return p.stored.Rows
}

// list lists the parts of the model.
func (m *Merger) list() error {
	w := m.adapter.Over(&m.base.Weights)
	if s, c := m.adapter.Shape, w.Config; len(m.adapter.Layers) != len(w.Layers) || s.Hidden != c.Hidden {
		return fmt.Errorf("the adapter is for %d layers of width %d, and the model has %d of %d", len(m.adapter.Layers), s.Hidden, len(w.Layers), c.Hidden)
	}
	for s, stored := range w.All() {
		if stored.Rows == 0 || s.Role == model.Head && m.tied {
			continue
		}
		p := part{Spec: s, stored: *stored}
		p.stored.Name = s.GGUF // a head may have been the embedding until now
		if s.Role.Projection() {
			p.factor = m.adapter.Layers[s.Layer][s.Role]
		} else if s.Role == model.Head {
			p.factor = m.adapter.Head
		}
		if f := p.factor; f != nil && (f.In != stored.Cols || f.Out != stored.Rows) {
			return fmt.Errorf("the adapter changes %s by [%d, %d], and the model's is [%d, %d]", s.GGUF, f.Out, f.In, stored.Rows, stored.Cols)
		}
		m.parts = append(m.parts, p)
	}
	return nil
}
