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

	// As the model's family lists them; what it does not have has no rows.
	Embedding, Head model.Spec
	Projections     [model.Projections]model.Spec
	Norms           [model.Roles]model.Spec // of a block, and the one behind them
}

// norms are the roles of Shape.Norms.
var norms = []model.Role{
	model.AttnNorm, model.FFNorm, model.AttnNormBias, model.FFNormBias, model.QNorm, model.KNorm,
	model.PostAttnNorm, model.PostFFNorm, model.OutputNorm, model.OutputNormBias,
}

// ShapeOf returns the shape of a model.
func ShapeOf(w *model.Weights) Shape {
	c := w.Config
	s := Shape{Layers: c.Layers, Hidden: c.Hidden, Vocab: c.Vocab, Tied: w.Tied()}
	of := map[model.Role]model.Spec{}
	for _, t := range append(c.Outside(), c.Block()...) {
		of[t.Role] = t
	}
	s.Embedding, s.Head = of[model.Embedding], of[model.Head]
	for r := range model.Projections {
		s.Projections[r] = of[r]
	}
	for _, r := range norms {
		s.Norms[r] = of[r]
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
