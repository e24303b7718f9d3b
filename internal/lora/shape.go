package lora

import (
	"fmt"
	"slices"
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

// module returns the projections of a projection's module, in the order of its rows: a
// module of several is one tensor of Hugging Face's.
func (s Shape) module(r model.Role) []model.Role {
	var roles []model.Role
	for other, t := range s.Projections {
		if t.Rows > 0 && t.HuggingFace == s.Projections[r].HuggingFace {
			roles = append(roles, model.Role(other))
		}
	}
	slices.SortStableFunc(roles, func(a, b model.Role) int { return s.Projections[a].First - s.Projections[b].First })
	return roles
}

// whole returns the targets that the model has, with all projections of their modules, in
// the order of the roles.
func (s Shape) whole(targets []model.Role) []model.Role {
	var all []model.Role
	for r := range model.Projections {
		if s.Projections[r].Rows > 0 && slices.ContainsFunc(s.module(r), func(o model.Role) bool { return slices.Contains(targets, o) }) {
			all = append(all, r)
		}
	}
	return all
}

// target returns how PEFT's configuration names a projection among the targets: by the
// last part of its module, or more of it where others end alike.
func (s Shape) target(r model.Role, targets []model.Role) string {
	module := s.Projections[r].Module()
	for at := strings.LastIndexByte(module, '.'); at > 0; at = strings.LastIndexByte(module[:at], '.') {
		others := false
		for o, t := range s.Projections {
			others = others || t.Rows > 0 && !slices.Contains(targets, model.Role(o)) && strings.HasSuffix(t.Module(), module[at:])
		}
		if !others {
			return module[at+1:]
		}
	}
	return module
}

// last returns the last part of a module's name, which PEFT's configuration names it by.
func last(module string) string { return module[strings.LastIndexByte(module, '.')+1:] }
