package lora

import (
	"strings"

	"github.com/flashback-lm/flashback/internal/model"
)

// What PEFT's names of tensors begin and end with.
const (
	prefix          = "base_model.model."
	deltaSuffix     = ".token_adapter.trainable_tokens_delta"
	suffixA         = ".lora_A.weight"
	suffixB         = ".lora_B.weight"
	embeddingA      = ".lora_embedding_A"
	embeddingB      = ".lora_embedding_B"
	originalSuffix  = ".original_module.weight" // of what modules_to_save replaced
	defaultAdapter  = ".default"
	savedModule     = ".modules_to_save"
	wrappedByAnyone = ".base_layer.weight"
)

// plain returns a name as PEFT's save_pretrained gives it: without the name of the
// adapter, which training loops leave in, and that of what wraps a module.
func plain(name string) string {
	for _, of := range []string{suffixA, suffixB, embeddingA, embeddingB, deltaSuffix, savedModule + ".weight"} {
		stem, weight := strings.CutSuffix(of, ".weight")
		tail := stem + defaultAdapter
		if weight {
			tail += ".weight"
		}
		if rest, ok := strings.CutSuffix(name, tail); ok {
			name = rest + of
		}
	}
	for _, wrap := range []string{savedModule + ".weight", wrappedByAnyone} {
		if rest, ok := strings.CutSuffix(name, wrap); ok {
			return rest + ".weight"
		}
	}
	return name
}

// part is what a tensor of an adapter is to it.
type part uint8

const (
	factorA part = iota
	factorB
	delta // rows of trainable_token_indices
	whole // in the place of the base's
)

// place is where a tensor belongs.
type place struct {
	part
	model.Spec              // of the tensor that it changes, or the first part of it
	parts      []model.Spec // of a factor: all of them
}

// places returns all that the base model has room for, by PEFT's names.
func (s Shape) places() map[string]place {
	places := map[string]place{}
	factors := func(spec model.Spec) {
		for suffix, half := range map[string]part{suffixA: factorA, suffixB: factorB} {
			name := prefix + spec.Module() + suffix
			at, ok := places[name]
			if !ok {
				at = place{part: half, Spec: spec}
			}
			at.parts = append(at.parts, spec)
			places[name] = at
		}
	}
	for i := range s.Layers {
		for _, t := range s.Projections {
			if t.Rows > 0 {
				factors(t.In(i))
			}
		}
	}
	for _, t := range s.Norms {
		switch {
		case t.Rows == 0:
		case strings.Contains(t.HuggingFace, "%d"):
			for i := range s.Layers {
				places[prefix+t.In(i).HuggingFace] = place{part: whole, Spec: t.In(i)}
			}
		default:
			places[prefix+t.HuggingFace] = place{part: whole, Spec: t}
		}
	}
	if s.Head.Rows > 0 {
		factors(s.Head)
		places[prefix+s.Head.HuggingFace] = place{part: whole, Spec: s.Head}
	}
	module := prefix + s.Embedding.Module()
	places[module+embeddingA] = place{part: factorA, Spec: s.Embedding, parts: []model.Spec{s.Embedding}}
	places[module+embeddingB] = place{part: factorB, Spec: s.Embedding, parts: []model.Spec{s.Embedding}}
	places[module+deltaSuffix] = place{part: delta, Spec: s.Embedding}
	places[prefix+s.Embedding.HuggingFace] = place{part: whole, Spec: s.Embedding}
	return places
}
