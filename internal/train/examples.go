package train

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/trainset"
)

// Set is a file of examples, such as trainset.Open opens.
type Set interface {
	Header() trainset.Header
	Len() int
	Window(i int) (trainset.Window, error)
}

// Packing is how a model trains on a set.
type Packing struct {
	Model     *Model
	Tokenizer string // digest of the model's
	BOS       bool   // whether the model reads its BOS in front of every text
	Context   int    // positions that the model has
	Recipe    Recipe
	Marks     *ralm.Marks // nil: none
}

// Windows returns the windows of a set, laid out by the recipe's placement. A set of
// another tokenizer, of too few passages, or of windows longer than the model's
// context is an error.
func (p Packing) Windows(set Set) (Windows, error) {
	layout, err := p.Recipe.Layout()
	if err != nil {
		return nil, err
	}
	if layout = layout.For(p.Model.learned(), placement.DefaultReserve); layout.Reserve > 0 && set.Header().PassageLen+2 > layout.Reserve {
		return nil, fmt.Errorf("its passages have up to %d tokens, and with their marks %d positions are kept free for them in front of the text: prepare shorter passages",
			set.Header().PassageLen, layout.Reserve)
	}
	h := set.Header()
	if h.Tokenizer != p.Tokenizer {
		return nil, fmt.Errorf("its tokens are those of another model (tokenizer %s, the model's is %s): prepare the examples again with this model",
			short(h.Tokenizer), short(p.Tokenizer))
	}
	if h.BOS != p.BOS {
		return nil, fmt.Errorf("its windows begin %s BOS and this model's texts %s it: prepare the examples again with this model", with(h.BOS), with(p.BOS))
	}
	evidence := []int{}
	if layout.Evidence != placement.Nowhere {
		if p.Recipe.K > h.K {
			return nil, fmt.Errorf("it has up to %d passages a stride, and --k asks for %d: prepare the examples again with more", h.K, p.Recipe.K)
		}
		for range p.Recipe.K {
			evidence = append(evidence, h.PassageLen+2) // the marks
		}
	}
	if need := layout.Positions(h.MaxContext(), evidence, h.Stride); need > p.Context {
		return nil, fmt.Errorf("its windows with %d passages take up to %d positions, and the model has %d: prepare shorter ones", len(evidence), need, p.Context)
	}
	return packedSet{p, layout, set}, nil
}

func with(bos bool) string {
	if bos {
		return "with"
	}
	return "without"
}

// Digest identifies the windows of a set: two with the same header have the same.
func Digest(h trainset.Header) string {
	text, err := json.Marshal(h)
	if err != nil {
		panic(err) // a header is numbers and strings
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

type packedSet struct {
	Packing
	layout placement.Placement
	set    Set
}

func (s packedSet) Len() int { return s.set.Len() }

func (s packedSet) Pack(i int) (Window, error) {
	w, err := s.set.Window(i)
	if err != nil {
		return nil, err
	}
	p, err := Pack(w, s.layout, s.Recipe.K, s.Marks, s.set.Header().Stride)
	return packedWindow{p, s.Packing}, err
}

type packedWindow struct {
	*Packed
	Packing
}

func (w packedWindow) Gradients(ctx context.Context, a, into *lora.Weights, scale float32, seed uint64) (float64, error) {
	return w.Model.Gradients(ctx, w.Packed, a, into, scale, Dropout{P: w.Recipe.Dropout, Seed: seed}, w.Recipe.Activated)
}

func (w packedWindow) Loss(ctx context.Context, a *lora.Weights) (float64, error) {
	return w.Model.Loss(ctx, w.Packed, a, w.Recipe.Activated)
}
