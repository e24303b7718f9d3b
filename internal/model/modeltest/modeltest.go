// Package modeltest makes small random models, so that tests of the engine run
// without a checkpoint.
package modeltest

import (
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// Tiny returns a random model of two layers with grouped queries: hidden 64, 4
// heads and 2 KV heads of 16, feed-forward 96, vocabulary 300, context 2048. Its
// weights are large enough that attention is far from uniform.
func Tiny(seed uint64) *model.Weights {
	return Random(model.Config{
		Family: "llama", Name: "tiny", Layers: 2, Hidden: 64, Heads: 4, KVHeads: 2, HeadDim: 16,
		FF: 96, Context: 2048, Vocab: 300, RopeBase: 10000, NormEps: 1e-5,
	}, seed)
}

// Random returns a model of the given shape with random f32 weights and a tied
// head.
func Random(c model.Config, seed uint64) *model.Weights {
	r := rand.New(rand.NewPCG(seed, 1))
	w := &model.Weights{Config: c, Layers: make([]model.Tensors, c.Layers)}
	for s, m := range w.All() {
		mean, dev := 0.0, 1.0
		switch {
		case s.Optional:
			continue
		case s.Role.Projection():
			dev = 2 / math.Sqrt(float64(s.Cols))
		case s.Rows == 1:
			mean, dev = 1, 0.1
		}
		data := make([]byte, s.Rows*s.Cols*4)
		for i := range s.Rows * s.Cols {
			binary.LittleEndian.PutUint32(data[i*4:], math.Float32bits(float32(mean+dev*r.NormFloat64())))
		}
		*m = tensor.Matrix{Name: s.GGUF, Type: tensor.F32, Rows: s.Rows, Cols: s.Cols, Data: data}
	}
	w.Tensors[model.Head] = w.Tensors[model.Embedding]
	return w
}
