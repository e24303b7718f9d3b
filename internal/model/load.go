package model

import (
	"fmt"
	"strings"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// Load opens the GGUF file or Hugging Face directory at path and binds its weights, which
// stay in the mapped files. Errors name the file, the key or tensor, and the reason.
func Load(path string) (*Model, error) {
	if isDirectory(path) {
		return loadDirectory(path)
	}
	f, err := gguf.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	m, err := bind(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	m.Path, m.close = path, f.Close
	return m, nil
}

// unreadable returns what is wrong with a file whose tensors cannot be read: its
// architecture, where that is not supported either, so that nobody looks for another
// quantisation of it in vain.
func unreadable(path string, err error) error {
	s, unseen := gguf.Look(path)
	if unseen != nil {
		return err
	}
	defer s.Close()
	if _, _, unknown := familyOf(s.File); unknown != nil && s.Has("general.architecture") {
		return unknown
	}
	return err
}

func loadDirectory(path string) (*Model, error) {
	d, err := openDirectory(path)
	if err != nil {
		return nil, err
	}
	m, err := bind(d)
	if err != nil {
		d.close()
		return nil, err
	}
	m.Path, m.Copied, m.close = path, d.copied, d.close
	return m, nil
}

func bind(f source) (*Model, error) {
	c, err := ReadConfig(f)
	if err != nil {
		return nil, err
	}
	if d, ok := f.(*directory); ok {
		if err := d.arrange(c); err != nil {
			return nil, err
		}
	}
	r := reader{f: f}
	// The vocabulary is as large as its embedding: not all files say it elsewhere.
	c.Vocab = r.tensor(embeddingName, 0, c.Embedded()).Rows
	if r.has(factorsName) {
		for i, factor := range r.factors(factorsName, c.Turned()/2) {
			c.divideFrequency(i, factor)
		}
	}
	m := &Model{Weights: Weights{Config: c, Layers: make([]Tensors, c.Layers)}}
	listed := map[string]bool{}
	for s, stored := range m.All() {
		if r.err != nil {
			return nil, r.err
		}
		listed[s.GGUF] = true
		if has := r.has(s.GGUF); has || !s.Optional {
			if *stored = r.part(s); !has && r.err != nil {
				return nil, fmt.Errorf("%w: the architecture %q has one", r.err, c.Family)
			}
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if m.Tensors[Head].Rows == 0 {
		m.Tensors[Head] = m.Tensors[Embedding]
	}
	for _, t := range f.Tensors() {
		if !listed[t.Name] && !harmless(c, t.Name) {
			return nil, surplus(f, c, t)
		}
	}
	if m.Tokenizer, err = bindTokenizer(f); err != nil {
		return nil, err
	}
	for _, w := range m.Tokenizer.Warnings() {
		m.Warnings = append(m.Warnings, f.Path()+": "+w)
	}
	if n := m.Tokenizer.Size(); n > c.Vocab {
		return nil, fmt.Errorf("%s: the tokenizer has %d tokens and the embedding %d rows", f.Path(), n, c.Vocab)
	}
	return m, nil
}

// factorsName is the vector of Config.RopeFactors.
const factorsName = "rope_freqs.weight"

// harmless reports whether a tensor that no list has changes nothing: the factors,
// which the configuration holds, and frequencies that it gives too.
func harmless(c Config, name string) bool {
	switch name {
	case factorsName:
		return true
	case shortFactors, longFactors:
		return c.LongFactors != nil
	}
	return strings.HasSuffix(name, ".attn_rot_embd.weight")
}

// surplus says which tensor would be left out of the arithmetic.
func surplus(f source, c Config, t tensor.Matrix) error {
	what := "computes without it, which would be another model"
	switch {
	case strings.HasSuffix(t.Name, ".bias"):
		what = "has no biases there"
	case strings.Contains(t.Name, "_exps"), strings.Contains(t.Name, "ffn_gate_inp"):
		what = "has no experts"
	}
	return fmt.Errorf("%s: tensor %q [%d, %d] is not supported: FlashBack's %s family %s", f.Path(), t.Name, t.Rows, t.Cols, c.Family, what)
}
