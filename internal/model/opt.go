package model

import (
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/device"
)

// opt: learned positions, LayerNorm, biases everywhere, and a feed-forward of ReLU without
// a gate. The 350M model embeds in a narrower space and has its norms behind attention and
// feed-forward. GGUF has no such architecture: the names are those that gguf-py gives
// tensors of these kinds, and its own for what no other architecture has.
var opt = family{config: optConfig, tensors: optTensors, huggingFace: optHuggingFace}

func optTensors(c Config) (outside, block []Spec) {
	const ours, decoder, theirs = "blk.%d.", "model.decoder.", "model.decoder.layers.%d."
	h := c.Hidden
	outside = []Spec{
		{Role: Embedding, GGUF: embeddingName, HuggingFace: decoder + "embed_tokens.weight", Rows: c.Vocab, Cols: c.Embedded()},
		{Role: PositionTable, GGUF: "position_embd.weight", HuggingFace: decoder + "embed_positions.weight", Rows: c.Positions + c.PositionOffset, Cols: h},
		{Role: Head, GGUF: "output.weight", HuggingFace: "lm_head.weight", Rows: c.Vocab, Cols: c.Embedded(), Optional: true},
	}
	if c.EmbedWidth > 0 {
		outside = append(outside,
			Spec{Role: ProjectIn, GGUF: "project_in.weight", HuggingFace: decoder + "project_in.weight", Rows: h, Cols: c.EmbedWidth},
			Spec{Role: ProjectOut, GGUF: "project_out.weight", HuggingFace: decoder + "project_out.weight", Rows: c.EmbedWidth, Cols: h})
	}
	if !c.NormAfter {
		outside = append(outside, withBias(Spec{Role: OutputNorm, GGUF: "output_norm.weight", HuggingFace: decoder + "final_layer_norm.weight", Rows: 1, Cols: h})...)
	}
	part := func(r Role, name string) []Spec {
		return withBias(Spec{Role: r, GGUF: ours + "attn_" + name + ".weight", HuggingFace: theirs + "self_attn." + name + "_proj.weight", Rows: h, Cols: h})
	}
	block = slices.Concat(
		withBias(Spec{Role: AttnNorm, GGUF: ours + "attn_norm.weight", HuggingFace: theirs + "self_attn_layer_norm.weight", Rows: 1, Cols: h}),
		part(Q, "q"), part(K, "k"), part(V, "v"),
		withBias(Spec{Role: O, GGUF: ours + "attn_output.weight", HuggingFace: theirs + "self_attn.out_proj.weight", Rows: h, Cols: h}),
		withBias(Spec{Role: FFNorm, GGUF: ours + "ffn_norm.weight", HuggingFace: theirs + "final_layer_norm.weight", Rows: 1, Cols: h}),
		withBias(Spec{Role: Up, GGUF: ours + "ffn_up.weight", HuggingFace: theirs + "fc1.weight", Rows: c.FF, Cols: h}),
		withBias(Spec{Role: Down, GGUF: ours + "ffn_down.weight", HuggingFace: theirs + "fc2.weight", Rows: h, Cols: c.FF}),
	)
	return outside, block
}

// withBias returns a tensor and its bias.
func withBias(s Spec) []Spec {
	b := s
	b.Role, b.GGUF, b.HuggingFace = s.Role.Bias(), bias(s.GGUF), bias(s.HuggingFace)
	b.Rows, b.Transposed = 1, false
	if s.Rows > 1 {
		b.Cols = s.Rows
	}
	return []Spec{s, b}
}

func bias(name string) string { return strings.TrimSuffix(name, "weight") + "bias" }

func optConfig(r *reader, key func(string) string) (Config, error) {
	c, err := readShape(r, key, "attention.layer_norm_epsilon")
	c.LayerNorm, c.Activation, c.Positions = true, device.ReLU, c.Context
	c.PositionOffset = 2 // rows that are no positions
	if c.EmbedWidth = r.count(key("embedding_length_in"), 1<<17, max(1, c.Hidden)); c.EmbedWidth == c.Hidden {
		c.EmbedWidth = 0
	}
	if k := key("norm_after"); r.f.Has(k) && r.err == nil {
		c.NormAfter, r.err = r.f.Bool(k)
	}
	return c, err
}

func optHuggingFace(c Config) map[string]any {
	return map[string]any{
		"architectures": []string{"OPTForCausalLM"}, "model_type": "opt", "activation_function": "relu",
		"hidden_size": c.Hidden, "ffn_dim": c.FF, "num_hidden_layers": c.Layers, "num_attention_heads": c.Heads,
		"max_position_embeddings": c.Context, "word_embed_proj_dim": c.Embedded(), "do_layer_norm_before": !c.NormAfter,
	}
}
