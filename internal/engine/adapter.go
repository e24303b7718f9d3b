package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/nn"
	"github.com/flashback-lm/flashback/internal/placement"
)

// Adapter is an adapter that an engine has loaded, for sequences to choose. The
// base's weights stay as they are.
type Adapter struct {
	e         *Engine
	source    *lora.Adapter
	updates   *nn.Adapter
	digest    string
	activated bool
}

// LoadAdapter prepares an adapter, which must not change afterwards. Any number may
// be loaded; they need no closing.
func (e *Engine) LoadAdapter(a *lora.Adapter) (*Adapter, error) {
	if shape := lora.ShapeOf(e.weights); a.Shape != shape {
		return nil, fmt.Errorf("the adapter is for a model of another shape: %v, this one is %v", a.Shape, shape)
	}
	updates, err := nn.NewAdapter(e.dev, e.weights, e.loaded, a, e.compute)
	if err != nil {
		return nil, err
	}
	return &Adapter{e: e, source: a, updates: updates, digest: a.Digest(), activated: a.Info.Activated}, nil
}

// Source returns what was loaded.
func (a *Adapter) Source() *lora.Adapter { return a.source }

// Digest returns the digest of the adapter's content.
func (a *Adapter) Digest() string { return a.digest }

// Recompute is the engine's Recompute for sequences with this adapter.
func (a *Adapter) Recompute(ctx context.Context, p placement.Placement, text []int32, evidence []lm.Evidence, target []int32) ([][]float32, error) {
	return a.e.recompute(ctx, a, p, text, evidence, target)
}

// SetAdapter chooses the adapter of the text; nil is none. What an adapter has
// changed of the text's KV is computed again where the next one would give other
// bits; the KV of activated adapters' contexts is the base model's, and stays.
func (s *Sequence) SetAdapter(a *Adapter) error {
	if a != nil && a.e.weights != s.e.weights {
		return errors.New("the adapter was loaded for another model")
	}
	if digestOf(s.adapter) != digestOf(a) {
		s.forgetReading()
	}
	before := s.adapterOf(s.context)
	s.adapter = a
	if after := s.adapterOf(s.context); digestOf(before) != digestOf(after) {
		s.context.Truncate(0)
	}
	return nil
}

// adapterOf returns the adapter that rows of a span are computed with: an activated
// one changes all but the context.
func (s *Sequence) adapterOf(span *kvcache.Span) *Adapter {
	if s.adapter != nil && s.adapter.activated && span == s.context {
		return nil
	}
	return s.adapter
}

// digestOf returns what tells the KV of adapters apart; "" stands for none.
func digestOf(a *Adapter) string {
	if a == nil {
		return ""
	}
	return a.digest
}

// embedding returns the embedding that the segment's adapter has for a token, or nil.
func (s *segment) embedding(token int32) []float32 {
	if s.adapter == nil {
		return nil
	}
	return s.adapter.source.Embed(s.adapter.e.weights.Tensors[model.Embedding], token)
}

// head returns the head of the segment's adapter, or nil where it is the base's.
func (s *segment) head() *nn.Head {
	if s.adapter == nil {
		return nil
	}
	return s.adapter.updates.Head()
}

// OpenAdapter reads and loads the adapter in a directory. One that was trained on
// another base model is an error; PEFT's files do not say on which they were.
func (e *Engine) OpenAdapter(dir string) (*Adapter, error) {
	a, err := lora.Read(dir, lora.ShapeOf(e.weights))
	return e.opened(a, err, dir)
}

// OpenAdapterFS is OpenAdapter of the files in fsys, which errors call by name.
func (e *Engine) OpenAdapterFS(fsys fs.FS, name string) (*Adapter, error) {
	a, err := lora.ReadFS(fsys, name, lora.ShapeOf(e.weights))
	return e.opened(a, err, name)
}

func (e *Engine) opened(a *lora.Adapter, err error, name string) (*Adapter, error) {
	if err != nil {
		return nil, err
	}
	if err := a.CheckBase(e.weights.Digest); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return e.LoadAdapter(a)
}

// Marks returns the tokens that stand around a passage, or nil.
func (a *Adapter) Marks() *lora.Marks { return a.source.Info.Marks }
