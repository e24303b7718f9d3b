package bench

import (
	"iter"
	"math/rand/v2"

	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// Weights returns weights of the shape without their data, which a card makes up when it
// loads them: they are never on the host. What such a model writes means nothing; how fast
// it writes is how fast one with those dimensions does.
func (s Shape) Weights() *model.Weights {
	w := &model.Weights{Config: s.Model, Layers: make([]model.Tensors, s.Model.Layers)}
	w.Config.RopeBase, w.Config.NormEps = 10000, 1e-5
	w.Config.Context = max(s.Model.Context, 16384) // nobody is the worse for what was not trained
	for spec, m := range w.All() {
		*m = tensor.Matrix{Name: spec.GGUF, Type: s.Blocks, Rows: spec.Rows, Cols: spec.Cols}
		switch {
		case spec.Role == model.Head:
			m.Type = s.Head
		case spec.Rows == 1:
			m.Type = tensor.F32
		case spec.Role == model.Embedding:
			m.Type = tensor.F16
		}
		if spec.Optional && spec.Role != model.Head {
			*m = tensor.Matrix{}
		}
	}
	return w
}

// RandomText returns a text of random tokens of a vocabulary, without end.
func RandomText(vocabulary int, seed uint64) *Text {
	r := rand.New(rand.NewPCG(seed, 1))
	t := &Text{encode: func(string) []int32 {
		tokens := make([]int32, 1024)
		for i := range tokens {
			tokens[i] = int32(r.IntN(vocabulary))
		}
		return tokens
	}}
	t.next, t.stop = iter.Pull2(func(yield func(string, error) bool) {
		for yield("", nil) {
		}
	})
	return t
}
