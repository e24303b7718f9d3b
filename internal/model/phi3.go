package model

import "fmt"

// phi3: llama with one tensor for queries, keys and values, and one for gate and up.
var phi3 = family{config: phi3Config, tensors: phi3Tensors, huggingFace: phi3HuggingFace}

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

// Vectors of LongRoPE's factors (arXiv 2402.13753): one for texts within the original
// context, one for longer ones.
const (
	shortFactors = "rope_factors_short.weight"
	longFactors  = "rope_factors_long.weight"
)

func phi3Config(r *reader, key func(string) string) (Config, error) {
	c, err := neoxConfig(r, key)
	if err != nil || r.err != nil || !r.has(shortFactors) {
		return c, err
	}
	if c.RopeFactors != nil {
		return c, fmt.Errorf("rotary scaling is given twice, by %s and by the tensor %q", key("rope.scaling.factor"), shortFactors)
	}
	c.RopeFactors = r.factors(shortFactors, c.Turned()/2)
	c.LongFactors = r.factors(longFactors, c.Turned()/2)
	c.ShortContext = r.count(key("rope.scaling.original_context_length"), 1<<24, c.Context)
	return c, nil
}

func phi3HuggingFace(c Config) map[string]any {
	config := c.decoder("Phi3ForCausalLM", "phi3", map[string]any{"partial_rotary_factor": float64(c.Turned()) / float64(c.HeadDim), "pad_token_id": nil})
	if c.Window > 0 {
		config["sliding_window"] = c.Window
	}
	if c.LongFactors != nil {
		config["original_max_position_embeddings"] = c.ShortContext
		config["rope_scaling"] = map[string]any{"type": "longrope", "short_factor": c.RopeFactors, "long_factor": c.LongFactors, "attention_factor": c.RopeScale}
	}
	return config
}
