package model

import "maps"

// embeddingName is GGUF's name of the embedding, whatever the family.
const embeddingName = "token_embd.weight"

// llama: rotary attention with grouped queries and a SwiGLU feed-forward, each behind
// a root-mean-square norm.
var llama = family{config: llamaConfig, tensors: llamaTensors, huggingFace: llamaHuggingFace}

func llamaTensors(c Config) (outside, block []Spec) {
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	outside = []Spec{
		{Role: Embedding, GGUF: embeddingName, HuggingFace: "model.embed_tokens.weight", Rows: c.Vocab, Cols: c.Hidden},
		{Role: OutputNorm, GGUF: "output_norm.weight", HuggingFace: "model.norm.weight", Rows: 1, Cols: c.Hidden},
		{Role: Head, GGUF: "output.weight", HuggingFace: "lm_head.weight", Rows: c.Vocab, Cols: c.Hidden, Optional: true},
	}
	const ours, theirs = "blk.%d.", "model.layers.%d."
	paired := c.HeadDim
	if c.Halves {
		paired = 0
	}
	block = []Spec{
		{Role: AttnNorm, GGUF: ours + "attn_norm.weight", HuggingFace: theirs + "input_layernorm.weight", Rows: 1, Cols: c.Hidden},
		{Role: Q, GGUF: ours + "attn_q.weight", HuggingFace: theirs + "self_attn.q_proj.weight", Rows: q, Cols: c.Hidden, Paired: paired},
		{Role: K, GGUF: ours + "attn_k.weight", HuggingFace: theirs + "self_attn.k_proj.weight", Rows: kv, Cols: c.Hidden, Paired: paired},
		{Role: V, GGUF: ours + "attn_v.weight", HuggingFace: theirs + "self_attn.v_proj.weight", Rows: kv, Cols: c.Hidden},
		{Role: O, GGUF: ours + "attn_output.weight", HuggingFace: theirs + "self_attn.o_proj.weight", Rows: c.Hidden, Cols: q},
		{Role: FFNorm, GGUF: ours + "ffn_norm.weight", HuggingFace: theirs + "post_attention_layernorm.weight", Rows: 1, Cols: c.Hidden},
		{Role: Gate, GGUF: ours + "ffn_gate.weight", HuggingFace: theirs + "mlp.gate_proj.weight", Rows: c.FF, Cols: c.Hidden},
		{Role: Up, GGUF: ours + "ffn_up.weight", HuggingFace: theirs + "mlp.up_proj.weight", Rows: c.FF, Cols: c.Hidden},
		{Role: Down, GGUF: ours + "ffn_down.weight", HuggingFace: theirs + "mlp.down_proj.weight", Rows: c.Hidden, Cols: c.FF},
	}
	return outside, block
}

func llamaConfig(r *reader, key func(string) string) (Config, error) {
	c, err := readShape(r, key, "attention.layer_norm_rms_epsilon")
	if err == nil {
		err = readRope(r, key, &c)
	}
	// Mistral's models are of this architecture, and some have a window.
	c.Window = r.window(key("attention.sliding_window"))
	return c, err
}

func llamaHuggingFace(c Config) map[string]any {
	if c.Window > 0 {
		return c.decoder("MistralForCausalLM", "mistral", map[string]any{"sliding_window": c.Window})
	}
	return c.decoder("LlamaForCausalLM", "llama", map[string]any{"attention_bias": false, "mlp_bias": false})
}

// decoder returns config.json of a model with rotary positions and gated feed-forwards.
func (c Config) decoder(architecture, kind string, more map[string]any) map[string]any {
	config := map[string]any{
		"architectures": []string{architecture}, "model_type": kind,
		"hidden_size": c.Hidden, "intermediate_size": c.FF, "num_hidden_layers": c.Layers,
		"num_attention_heads": c.Heads, "num_key_value_heads": c.KVHeads, "head_dim": c.HeadDim,
		"max_position_embeddings": c.Context, "rms_norm_eps": c.NormEps, "rope_theta": c.RopeBase,
		"hidden_act": "silu",
	}
	if c.RopeFactors != nil {
		config["rope_scaling"] = c.scaling()
	}
	maps.Copy(config, more)
	return config
}
