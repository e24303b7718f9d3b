// Package merge adds an adapter to its base model's weights for good, and writes
// the result in the formats of other engines.
package merge

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// Merger merges an adapter into a model.
type Merger struct {
	base    *model.Model
	adapter *lora.Adapter
	parts   []part
	added   []string // names of the tokens behind the base's vocabulary
	tied    bool     // the head is the embedding
	slab    int      // weights that are in memory at a time, about
}

// New returns a merger of a model, which must stay open, and an adapter that was
// read for its shape. It refuses adapters whose effect no weights have: activated
// ones, those of another base model, and rows of tokens without a name.
func New(base *model.Model, a *lora.Adapter) (*Merger, error) {
	if a.Info.Activated {
		return nil, errors.New("the adapter is activated: it leaves the context as the base model computes it, so it cannot be merged; use it with --adapter")
	}
	if err := a.CheckBase(base.Digest); err != nil {
		return nil, err
	}
	m := &Merger{base: base, adapter: a, tied: base.Tied(), slab: 1 << 20}
	if err := m.nameTokens(); err != nil {
		return nil, err
	}
	// What changes one of the two alone parts them.
	rows := len(a.Rows) > 0 && int(a.Rows[0].Token) < base.Config.Vocab && !a.TiedRows
	if _, own := a.OwnHead(&base.Weights); rows || own && !a.TiedRows || a.Head != nil || a.Embedding != nil {
		m.tied = false
	}
	return m, m.list()
}

// nameTokens finds the names of the tokens that the adapter appends.
func (m *Merger) nameTokens() error {
	vocab := m.base.Config.Vocab
	for _, r := range m.adapter.Rows {
		if int(r.Token) < vocab {
			continue
		}
		var name string
		if marks := m.adapter.Info.Marks; marks != nil {
			name = map[int32]string{marks.Left: lora.LeftMark, marks.Right: lora.RightMark}[r.Token]
		}
		if name == "" {
			return fmt.Errorf("the adapter has a row for token %d, which neither the model nor flashback.json names: only the marks may be new", r.Token)
		}
		if int(r.Token) != vocab+len(m.added) {
			return fmt.Errorf("%s is token %d and must be %d: new tokens stand right behind the model's %d", name, r.Token, vocab+len(m.added), vocab)
		}
		if id, ok := m.base.Tokenizer.ID(name); ok {
			return fmt.Errorf("%s is a token of the model already: %d", name, id)
		}
		m.added = append(m.added, name)
	}
	if n := m.base.Tokenizer.Size(); len(m.added) > 0 && n != vocab {
		return fmt.Errorf("%s: the tokenizer names %d of %d embeddings, so that no token can be added behind them", m.base.Path, n, vocab)
	}
	return nil
}

// absent returns an error where something stands at path: a merger overwrites
// neither its base nor anything else.
func absent(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return cmp.Or(err, fmt.Errorf("%s: is there already: remove it, or name another", path))
	}
	return nil
}

// Type returns the storage type of that name, f16 or f32.
func Type(name string) (tensor.Type, error) {
	switch name {
	case "f16":
		return tensor.F16, nil
	case "f32":
		return tensor.F32, nil
	}
	return tensor.Invalid, fmt.Errorf("unknown type %q: use f16 or f32", name)
}
