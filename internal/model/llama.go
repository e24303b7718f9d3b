package model

import (
	"fmt"
	"math"
)

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
	block = []Spec{
		{Role: AttnNorm, GGUF: ours + "attn_norm.weight", HuggingFace: theirs + "input_layernorm.weight", Rows: 1, Cols: c.Hidden},
		{Role: Q, GGUF: ours + "attn_q.weight", HuggingFace: theirs + "self_attn.q_proj.weight", Rows: q, Cols: c.Hidden, Paired: c.HeadDim},
		{Role: K, GGUF: ours + "attn_k.weight", HuggingFace: theirs + "self_attn.k_proj.weight", Rows: kv, Cols: c.Hidden, Paired: c.HeadDim},
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
	var c Config
	c.Layers = r.count(key("block_count"), 1<<10, 0)
	c.Hidden = r.count(key("embedding_length"), 1<<17, 0)
	c.Heads = r.uniform(key("attention.head_count"), 1<<12, 0, c.Layers)
	c.KVHeads = r.uniform(key("attention.head_count_kv"), 1<<12, c.Heads, c.Layers)
	c.FF = r.uniform(key("feed_forward_length"), 1<<20, 0, c.Layers)
	c.Context = r.count(key("context_length"), 1<<24, 0)
	c.NormEps = float32(r.float(key("attention.layer_norm_rms_epsilon"), 0))
	c.RopeBase = r.float(key("rope.freq_base"), 10000)
	factor, err := linearScaling(r, key)
	if err != nil {
		return c, err
	}
	if r.err != nil {
		return c, nil // which the reader says
	}
	switch {
	case c.Heads%c.KVHeads != 0:
		return c, fmt.Errorf("%d query heads cannot share %d KV heads evenly", c.Heads, c.KVHeads)
	case c.Hidden%c.Heads != 0 && !r.f.Has(key("attention.key_length")):
		return c, fmt.Errorf("a hidden width of %d cannot be cut into %d heads", c.Hidden, c.Heads)
	case !(c.RopeBase > 0) || math.IsInf(c.RopeBase, 0):
		return c, fmt.Errorf("%s is %v: it must be positive", key("rope.freq_base"), c.RopeBase)
	case !(c.NormEps >= 0 && c.NormEps < 1):
		return c, fmt.Errorf("%s is %v: it must be between 0 and 1", key("attention.layer_norm_rms_epsilon"), c.NormEps)
	}
	c.HeadDim = r.count(key("attention.key_length"), 1<<12, c.Hidden/c.Heads)
	rotated := r.count(key("rope.dimension_count"), 1<<12, c.HeadDim)
	value := r.count(key("attention.value_length"), 1<<12, c.HeadDim)
	if r.err == nil && (c.HeadDim%2 != 0 || rotated != c.HeadDim || value != c.HeadDim) {
		return c, fmt.Errorf("heads of width %d with %d rotated and values of width %d are not supported: the three must be equal and even", c.HeadDim, rotated, value)
	}
	for i := range c.HeadDim / 2 {
		if factor != 1 {
			c.divideFrequency(i, float32(factor))
		}
	}
	return c, nil
}

func llamaHuggingFace(c Config) map[string]any {
	return map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama",
		"hidden_size": c.Hidden, "intermediate_size": c.FF, "num_hidden_layers": c.Layers,
		"num_attention_heads": c.Heads, "num_key_value_heads": c.KVHeads, "head_dim": c.HeadDim,
		"max_position_embeddings": c.Context, "rms_norm_eps": c.NormEps, "rope_theta": c.RopeBase,
		"hidden_act": "silu", "attention_bias": false, "mlp_bias": false,
	}
}
