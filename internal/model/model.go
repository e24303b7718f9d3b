// Package model binds the weights of a checkpoint to the names that the blocks
// use. It does no arithmetic.
package model

import (
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// Config is the shape of a model of the llama family.
type Config struct {
	Family   string  // general.architecture
	Name     string  // general.name, may be empty
	Layers   int     // transformer blocks
	Hidden   int     // width of the residual stream
	Heads    int     // query heads
	KVHeads  int     // key and value heads; Heads is a multiple of it
	HeadDim  int     // width of a head, even
	FF       int     // width of the feed-forward block
	Context  int     // longest sequence, in positions
	Vocab    int     // rows of the embedding
	RopeBase float64 // base of the rotary frequencies
	NormEps  float32 // added to the mean square in RMSNorm
	// RopeFactors divide the rotary frequencies [HeadDim/2]; nil: all 1.
	RopeFactors []float32
}

// Layer holds the weights of one transformer block; a matrix is [out, in].
// Query and key rows are in GGUF's order: a head's rotary pairs are neighbours.
type Layer struct {
	AttnNorm tensor.Matrix // [1, Hidden]
	Q        tensor.Matrix // [Heads·HeadDim, Hidden]
	K, V     tensor.Matrix // [KVHeads·HeadDim, Hidden]
	O        tensor.Matrix // [Hidden, Heads·HeadDim]
	FFNorm   tensor.Matrix // [1, Hidden]
	Gate, Up tensor.Matrix // [FF, Hidden]
	Down     tensor.Matrix // [Hidden, FF]
}

// Weights are the weights of a model, as stored.
type Weights struct {
	Config     Config
	Embedding  tensor.Matrix // [Vocab, Hidden]
	Layers     []Layer
	OutputNorm tensor.Matrix // [1, Hidden]
	Head       tensor.Matrix // [Vocab, Hidden]; the embedding where they are tied
}

// Model is an opened checkpoint.
type Model struct {
	Weights
	Tokenizer *tokenizer.Tokenizer
	Path      string
	close     func() error
}

// Close releases the mapped file; nothing of the model may be used afterwards.
func (m *Model) Close() error {
	if m.close == nil {
		return nil
	}
	return m.close()
}
