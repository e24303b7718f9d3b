package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// family is what models of one architecture have in common: how their files give a
// configuration, and the list of their tensors. All that walks tensors walks this
// list. What a block computes with them is in nn, and once more in the oracle.
type family struct {
	// config reads the shape of a model, Vocab and RopeFactors excepted, and checks
	// that it makes sense. key returns a key of the architecture.
	config func(r *reader, key func(name string) string) (Config, error)
	// tensors lists those outside the blocks, and those of a block, whose names have
	// %d for its number. Digests of models depend on their order.
	tensors func(c Config) (outside, block []Spec)
	// huggingFace returns what config.json says of the shape; Hugging Face's
	// model_type and architecture are among it.
	huggingFace func(c Config) map[string]any
}

// families are the architectures that FlashBack reads, by general.architecture.
var families = map[string]family{
	"gemma2":  gemma2,
	"gemma3":  gemma3,
	"gpt2":    gpt2,
	"llama":   llama,
	"opt":     opt,
	"phi3":    phi3,
	"qwen2":   qwen2,
	"qwen3":   qwen3,
	"smollm3": smollm3,
}

func (c Config) family() family {
	f, ok := families[c.Family]
	if !ok {
		panic(fmt.Sprintf("model: no family %q", c.Family)) // ReadConfig refuses others
	}
	return f
}

// ReadConfig reads the shape of the model from the source's metadata and checks
// that it makes sense.
func ReadConfig(f source) (Config, error) {
	name, known, err := familyOf(f)
	if err != nil {
		return Config{}, err
	}
	r := reader{f: f}
	title := r.string("general.name", false)
	if r.err != nil {
		return Config{}, r.err
	}
	key := func(key string) string { return name + "." + key }
	if d, ok := f.(*directory); ok {
		key = d.name
	}
	c, err := known.config(&r, key)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", f.Path(), err)
	}
	c.Family, c.Name = name, title
	return c, r.err
}

// familyOf returns the family of a source, or an error that names its architecture.
func familyOf(f source) (name string, known family, err error) {
	r := reader{f: f}
	name = r.string("general.architecture", true)
	if r.err != nil {
		return "", known, r.err
	}
	known, ok := families[name]
	switch {
	case r.string("general.type", false) == "adapter":
		err = fmt.Errorf("%s is an adapter of a model of the architecture %q, not a model: give it with --adapter", f.Path(), name)
	case !ok:
		err = fmt.Errorf("%s: architecture %q is not supported: FlashBack reads %s models",
			f.Path(), name, strings.Join(slices.Sorted(maps.Keys(families)), ", "))
	}
	return name, known, err
}

// HuggingFace returns what Hugging Face's config.json says of a model of this shape.
func (c Config) HuggingFace() map[string]any { return c.family().huggingFace(c) }
