package model

// smollm3: llama, whose every fourth layer has no rotation.
var smollm3 = family{config: smollm3Config, tensors: llamaTensors, huggingFace: smollm3HuggingFace}

func smollm3Config(r *reader, key func(string) string) (Config, error) {
	c, err := llamaConfig(r, key)
	c.Unturned = every(4, c.Layers) // which GGUF has no key for
	return c, err
}

func smollm3HuggingFace(c Config) map[string]any {
	turned := make([]int, c.Layers)
	for i := range turned {
		if !c.Unturned[i] {
			turned[i] = 1
		}
	}
	return c.decoder("SmolLM3ForCausalLM", "smollm3", map[string]any{"attention_bias": false, "mlp_bias": false, "no_rope_layers": turned, "pad_token_id": nil})
}
