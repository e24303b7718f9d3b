package lora

import (
	"fmt"
	"strings"

	"github.com/flashback-lm/flashback/internal/model"
)

// Shape is what an adapter must know of its base model. Shapes of models that the same
// adapters fit are equal.
type Shape struct {
	Layers, Hidden int

	Vocab int // rows of the base's embedding
	// Tied says that the output head is the embedding.
	Tied bool

	// Embedding and Projections are as the model's family lists them; a projection
	// that it does not have has no rows.
	Embedding   model.Spec
	Projections [model.Projections]model.Spec
}

// ShapeOf returns the shape of a model.
func ShapeOf(w *model.Weights) Shape {
	c := w.Config
	s := Shape{Layers: c.Layers, Hidden: c.Hidden, Vocab: c.Vocab, Tied: w.Tied()}
	for _, t := range c.Outside() {
		if t.Role == model.Embedding {
			s.Embedding = t
		}
	}
	for _, t := range c.Block() {
		if t.Role.Projection() {
			s.Projections[t.Role] = t
		}
	}
	return s
}

// String names the dimensions.
func (s Shape) String() string {
	text := fmt.Sprintf("%d layers of width %d, %d tokens, tied %v", s.Layers, s.Hidden, s.Vocab, s.Tied)
	for role, t := range s.Projections {
		text += fmt.Sprintf(", %s [%d, %d]", model.Role(role), t.Rows, t.Cols)
	}
	return text
}

// Module returns Hugging Face's name of a projection, model.layers.N.….
func (s Shape) Module(layer int, r model.Role) string { return s.Projections[r].In(layer).Module() }

// last returns the last part of a module's name, which PEFT's configuration names it by.
func last(module string) string { return module[strings.LastIndexByte(module, '.')+1:] }

// named returns the projections that PEFT means by a name of target_modules: those whose
// module it is, or ends.
func (s Shape) named(name string) ([]model.Role, error) {
	var found []model.Role
	var names []string
	for r, t := range s.Projections {
		if t.Rows == 0 {
			continue
		}
		names = append(names, last(t.Module()))
		if strings.HasSuffix("."+t.Module(), "."+name) {
			found = append(found, model.Role(r))
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("unknown projection %q: use some of %v", clip(name), names)
	}
	return found, nil
}
