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
	matrix := func(name string, rows, cols int, mean, dev float64) tensor.Matrix {
		data := make([]byte, rows*cols*4)
		for i := range rows * cols {
			binary.LittleEndian.PutUint32(data[i*4:], math.Float32bits(float32(mean+dev*r.NormFloat64())))
		}
		return tensor.Matrix{Name: name, Type: tensor.F32, Rows: rows, Cols: cols, Data: data}
	}
	linear := func(name string, out, in int) tensor.Matrix {
		return matrix(name, out, in, 0, 2/math.Sqrt(float64(in)))
	}
	norm := func(name string) tensor.Matrix { return matrix(name, 1, c.Hidden, 1, 0.1) }
	w := &model.Weights{Config: c, Embedding: matrix("token_embd", c.Vocab, c.Hidden, 0, 1), OutputNorm: norm("output_norm")}
	w.Head = w.Embedding
	for range c.Layers {
		w.Layers = append(w.Layers, model.Layer{
			AttnNorm: norm("attn_norm"),
			Q:        linear("attn_q", c.Heads*c.HeadDim, c.Hidden),
			K:        linear("attn_k", c.KVHeads*c.HeadDim, c.Hidden),
			V:        linear("attn_v", c.KVHeads*c.HeadDim, c.Hidden),
			O:        linear("attn_output", c.Hidden, c.Heads*c.HeadDim),
			FFNorm:   norm("ffn_norm"),
			Gate:     linear("ffn_gate", c.FF, c.Hidden),
			Up:       linear("ffn_up", c.FF, c.Hidden),
			Down:     linear("ffn_down", c.Hidden, c.FF),
		})
	}
	return w
}
