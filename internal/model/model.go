// Package model binds the weights of a checkpoint to the roles that the blocks
// use. It does no arithmetic.
package model

import (
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// Config is the shape of a model.
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
	Window   int     // positions that a token sees, its own the last; 0: all
	// RopeFactors divide the rotary frequencies [HeadDim/2]; nil: all 1.
	RopeFactors []float32
}

// Tensors are the tensors of a block, or those outside the blocks, by role; a role
// that the family does not have there has no rows. Shapes are in the family's list.
type Tensors [Roles]tensor.Matrix

// Weights are the weights of a model, as stored.
type Weights struct {
	Config  Config
	Tensors Tensors // outside the blocks; where the head is tied, it is the embedding
	Layers  []Tensors
}

// Tied reports whether the head is the embedding.
func (w *Weights) Tied() bool { return w.Tensors[Head].Name == w.Tensors[Embedding].Name }

// Model is an opened checkpoint.
type Model struct {
	Weights
	Tokenizer *tokenizer.Tokenizer
	Path      string
	// Warnings say what of the file is wrong and was left out.
	Warnings []string
	close    func() error
}

// Close releases the mapped file; nothing of the model may be used afterwards.
func (m *Model) Close() error {
	if m.close == nil {
		return nil
	}
	return m.close()
}
