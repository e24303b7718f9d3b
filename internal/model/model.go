// Package model binds the weights of a checkpoint to the roles that the blocks
// use. It does no arithmetic.
package model

import (
	"github.com/flashback-lm/flashback/internal/device"
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
	RopeBase float64 // base of the rotary frequencies; 0: positions turn nothing
	NormEps  float32 // added to the mean square, or the variance, in a norm
	Window   int     // positions that a token sees, its own the last; 0: all
	// RopeFactors divide the rotary frequencies [Rotated/2]; nil: all 1.
	RopeFactors []float32

	// What follows is zero in the llama family.

	Local     []bool  // layers that Window is for; nil: all
	Unturned  []bool  // layers in which positions turn nothing; nil: none
	LocalBase float64 // base of the frequencies of local layers, without factors; 0: RopeBase and they
	Rotated   int     // elements of a head that are turned, the first; 0: HeadDim
	Halves    bool    // GGUF's rows of queries and keys pair elements half of Rotated apart; else neighbours
	RopeScale float32 // of cosines and sines; 0: 1
	// LongFactors are RopeFactors where a text takes more than ShortContext positions; nil: they are always the same.
	LongFactors    []float32
	ShortContext   int
	Activation     device.Activation // of the feed-forward
	LayerNorm      bool              // norms are LayerNorm; else they divide by the root mean square
	NormAfter      bool              // norms stand behind attention and feed-forward, on the residual stream
	QueryScale     float64           // of products of queries and keys; 0: 1/√HeadDim
	EmbedScale     float32           // of embeddings; 0: 1
	EmbedWidth     int               // of the embedding, where the model projects it; 0: Hidden
	ScoreCap       float64           // of attention's scores, see device.Attention; 0: none
	LogitCap       float32           // logits are LogitCap · tanh(logit/LogitCap); 0: as they are
	Positions      int               // how many positions were learned; 0: none, they are rotary
	PositionOffset int               // rows of their table in front of that of position 0
}

// Tensors are the tensors of a block, or those outside the blocks, by role; a role
// that the family does not have there has no rows. Shapes are in the family's list.
type Tensors [Roles]tensor.Matrix

// Weights are the weights of a model, as stored.
type Weights struct {
	Config  Config
	Tensors Tensors // outside the blocks; where the head is tied, it is the embedding
	Layers  []Tensors
	// Quantize is the type to which float matrices are rounded for products, see Product;
	// Invalid: none.
	Quantize tensor.Type
}

// Tied reports whether the head is the embedding.
func (w *Weights) Tied() bool { return w.Tensors[Head].Name == w.Tensors[Embedding].Name }

// Model is an opened checkpoint.
type Model struct {
	Weights
	Tokenizer *tokenizer.Tokenizer
	Path      string
	Copied    int64 // bytes of weights in memory of their own, since the file has them in another form
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
