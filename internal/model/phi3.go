package model

// phi3: llama with one tensor for queries, keys and values, and one for gate and up.
var phi3 = family{config: neoxConfig, tensors: phi3Tensors, huggingFace: phi3HuggingFace}

func phi3Tensors(c Config) (outside, block []Spec) {
	outside, block = llamaTensors(c)
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	const attention, feedForward = "model.layers.%d.self_attn.qkv_proj.weight", "model.layers.%d.mlp.gate_up_proj.weight"
	for i := range block {
		s := &block[i]
		switch s.Role {
		case Q, K, V:
			s.GGUF, s.HuggingFace, s.Of = "blk.%d.attn_qkv.weight", attention, q+2*kv
			s.First = map[Role]int{K: q, V: q + kv}[s.Role]
		case Gate, Up:
			s.GGUF, s.HuggingFace, s.Of = "blk.%d.ffn_up.weight", feedForward, 2*c.FF
			s.First = map[Role]int{Up: c.FF}[s.Role]
		}
	}
	return outside, block
}

func phi3HuggingFace(c Config) map[string]any {
	config := c.decoder("Phi3ForCausalLM", "phi3", map[string]any{"partial_rotary_factor": float64(c.Turned()) / float64(c.HeadDim), "pad_token_id": nil})
	if c.Window > 0 {
		config["sliding_window"] = c.Window
	}
	if c.LongFactors != nil {
		config["original_max_position_embeddings"] = c.ShortContext
	}
	return config
}
