package model

import (
	"slices"

	"github.com/flashback-lm/flashback/internal/device"
)

// gpt2: learned positions, LayerNorm, biases everywhere, one tensor for queries, keys and
// values, and a feed-forward without a gate. Hugging Face stores its matrices transposed.
var gpt2 = family{config: gpt2Config, tensors: gpt2Tensors, huggingFace: gpt2HuggingFace}

func gpt2Tensors(c Config) (outside, block []Spec) {
	const ours, theirs = "blk.%d.", "transformer.h.%d."
	h := c.Hidden
	outside = slices.Concat([]Spec{
		{Role: Embedding, GGUF: embeddingName, HuggingFace: "transformer.wte.weight", Rows: c.Vocab, Cols: h},
		{Role: PositionTable, GGUF: "position_embd.weight", HuggingFace: "transformer.wpe.weight", Rows: c.Positions, Cols: h},
	}, withBias(Spec{Role: OutputNorm, GGUF: "output_norm.weight", HuggingFace: "transformer.ln_f.weight", Rows: 1, Cols: h}), []Spec{
		{Role: Head, GGUF: "output.weight", HuggingFace: "lm_head.weight", Rows: c.Vocab, Cols: h, Optional: true},
	})
	part := func(r Role, first int) []Spec {
		return withBias(Spec{Role: r, GGUF: ours + "attn_qkv.weight", HuggingFace: theirs + "attn.c_attn.weight", Rows: h, Cols: h, First: first, Of: 3 * h, Transposed: true})
	}
	block = slices.Concat(
		withBias(Spec{Role: AttnNorm, GGUF: ours + "attn_norm.weight", HuggingFace: theirs + "ln_1.weight", Rows: 1, Cols: h}),
		part(Q, 0), part(K, h), part(V, 2*h),
		withBias(Spec{Role: O, GGUF: ours + "attn_output.weight", HuggingFace: theirs + "attn.c_proj.weight", Rows: h, Cols: h, Transposed: true}),
		withBias(Spec{Role: FFNorm, GGUF: ours + "ffn_norm.weight", HuggingFace: theirs + "ln_2.weight", Rows: 1, Cols: h}),
		withBias(Spec{Role: Up, GGUF: ours + "ffn_up.weight", HuggingFace: theirs + "mlp.c_fc.weight", Rows: c.FF, Cols: h, Transposed: true}),
		withBias(Spec{Role: Down, GGUF: ours + "ffn_down.weight", HuggingFace: theirs + "mlp.c_proj.weight", Rows: h, Cols: c.FF, Transposed: true}),
	)
	return outside, block
}

func gpt2Config(r *reader, key func(string) string) (Config, error) {
	c, err := readShape(r, key, "attention.layer_norm_epsilon")
	c.LayerNorm, c.Activation, c.Positions = true, device.GELUTanh, c.Context
	return c, err
}

func gpt2HuggingFace(c Config) map[string]any {
	return map[string]any{
		"architectures": []string{"GPT2LMHeadModel"}, "model_type": "gpt2", "activation_function": "gelu_new",
		"n_embd": c.Hidden, "n_inner": c.FF, "n_layer": c.Layers, "n_head": c.Heads, "n_positions": c.Context,
		"layer_norm_epsilon": c.NormEps,
	}
}
