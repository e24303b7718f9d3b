package model

// qwen2: llama with biases of queries, keys and values.
var qwen2 = family{config: qwenConfig, tensors: qwen2Tensors, huggingFace: func(c Config) map[string]any {
	return c.decoder("Qwen2ForCausalLM", "qwen2", map[string]any{"use_sliding_window": false})
}}

// qwen3: llama with a norm of each head's queries and keys.
var qwen3 = family{config: qwenConfig, tensors: qwen3Tensors, huggingFace: func(c Config) map[string]any {
	return c.decoder("Qwen3ForCausalLM", "qwen3", map[string]any{"attention_bias": false, "use_sliding_window": false})
}}

// qwenConfig leaves out the window that configurations give and do not use.
func qwenConfig(r *reader, key func(string) string) (Config, error) {
	c, err := neoxConfig(r, key)
	c.Window = 0
	return c, err
}

// neoxConfig is llama's with GGUF's rows in Hugging Face's order: a pair of a rotation is
// half of a head apart.
func neoxConfig(r *reader, key func(string) string) (Config, error) {
	c, err := llamaConfig(r, key)
	c.Halves = true
	return c, err
}

func qwen2Tensors(c Config) (outside, block []Spec) {
	outside, block = llamaTensors(c)
	bias := func(r Role, letter string, n int) Spec {
		return Spec{Role: r, GGUF: "blk.%d.attn_" + letter + ".bias", HuggingFace: "model.layers.%d.self_attn." + letter + "_proj.bias", Rows: 1, Cols: n}
	}
	return outside, append(block, bias(QBias, "q", c.Heads*c.HeadDim), bias(KBias, "k", c.KVHeads*c.HeadDim), bias(VBias, "v", c.KVHeads*c.HeadDim))
}

func qwen3Tensors(c Config) (outside, block []Spec) {
	outside, block = llamaTensors(c)
	return outside, append(block, headNorms(c)...)
}

// headNorms are the norms of each head's queries and keys.
func headNorms(c Config) []Spec {
	norm := func(r Role, letter string) Spec {
		return Spec{Role: r, GGUF: "blk.%d.attn_" + letter + "_norm.weight", HuggingFace: "model.layers.%d.self_attn." + letter + "_norm.weight", Rows: 1, Cols: c.HeadDim}
	}
	return []Spec{norm(QNorm, "q"), norm(KNorm, "k")}
}
