package bench

import (
	"fmt"
	"strings"

	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// Shape is what the cost of a stride depends on: a model's dimensions and how
// its weights and KV are stored.
type Shape struct {
	Name        string
	Model       model.Config
	Blocks      tensor.Type // storage of the blocks' matrices
	Head        tensor.Type // storage of the output head
	KVBytes     int         // of one number in the KV cache
	BatchTokens int         // rows of a forward that share one reading of the weights
}

// Shapes are the models that Costs knows by name; their dimensions are those of
// the published checkpoints. The first is stored as our default file and run as
// our engine runs it; the others are in 16 bits, as published.
var Shapes = []Shape{
	{
		Name:   "smollm2-135m",
		Model:  model.Config{Family: "llama", Layers: 30, Hidden: 576, Heads: 9, KVHeads: 3, HeadDim: 64, FF: 1536, Context: 8192, Vocab: 49152},
		Blocks: tensor.Q4_1, Head: tensor.Q8_0, KVBytes: 4, BatchTokens: 256,
	},
	{
		Name:   "llama-2-7b",
		Model:  model.Config{Family: "llama", Layers: 32, Hidden: 4096, Heads: 32, KVHeads: 32, HeadDim: 128, FF: 11008, Context: 4096, Vocab: 32000},
		Blocks: tensor.F16, Head: tensor.F16, KVBytes: 2, BatchTokens: 256,
	},
	{
		Name:   "llama-3-8b",
		Model:  model.Config{Family: "llama", Layers: 32, Hidden: 4096, Heads: 32, KVHeads: 8, HeadDim: 128, FF: 14336, Context: 8192, Vocab: 128256},
		Blocks: tensor.BF16, Head: tensor.BF16, KVBytes: 2, BatchTokens: 256,
	},
}

// ParseShape returns the shape of that name.
func ParseShape(name string) (Shape, error) {
	var names []string
	for _, s := range Shapes {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Shape{}, fmt.Errorf("unknown shape %q: use one of %s", name, strings.Join(names, ", "))
}

// blockWeights returns the weights of all blocks' matrices.
func (s Shape) blockWeights() (n int64) {
	for _, t := range s.Model.Block() {
		if t.Role.Projection() {
			n += int64(s.Model.Layers) * int64(t.Rows) * int64(t.Cols)
		}
	}
	return n
}

// headWeights returns the weights of the output head.
func (s Shape) headWeights() int64 { return int64(s.Model.Vocab) * int64(s.Model.Hidden) }

// stored returns the bytes of n weights.
func stored(t tensor.Type, n int64) int64 {
	return n / int64(t.BlockWeights()) * int64(t.BlockBytes())
}

// tokenBytes returns the bytes of one token's keys and values.
func (s Shape) tokenBytes() int64 {
	c := s.Model
	return int64(c.Layers) * int64(c.KVHeads*c.HeadDim) * 2 * int64(s.KVBytes)
}
