package merge

import (
	"fmt"

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
