package model

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/flashback-lm/flashback/internal/device"
)

// gemma2: norms in front of attention and feed-forward and behind them, GELU as the gate,
// scaled embeddings, soft caps, and a window in every other layer.
var gemma2 = family{config: gemma2Config, tensors: gemmaTensors, huggingFace: gemma2HuggingFace}

// gemma3: gemma2 with norms of queries and keys instead of soft caps; five of six layers
// have a window, and frequencies of their own.
var gemma3 = family{config: gemma3Config, tensors: gemma3Tensors, huggingFace: gemma3HuggingFace}

func gemmaTensors(c Config) (outside, block []Spec) {
	outside, block = llamaTensors(c)
	const ours, theirs = "blk.%d.", "model.layers.%d."
	for i := range block {
		if block[i].Role == FFNorm {
			block[i].HuggingFace = theirs + "pre_feedforward_layernorm.weight"
		}
	}
	block = append(block,
		Spec{Role: PostAttnNorm, GGUF: ours + "post_attention_norm.weight", HuggingFace: theirs + "post_attention_layernorm.weight", Rows: 1, Cols: c.Hidden},
		Spec{Role: PostFFNorm, GGUF: ours + "post_ffw_norm.weight", HuggingFace: theirs + "post_feedforward_layernorm.weight", Rows: 1, Cols: c.Hidden},
	)
	return lessOne(outside), lessOne(block)
}

func gemma3Tensors(c Config) (outside, block []Spec) {
	outside, block = gemmaTensors(c)
	return outside, append(block, lessOne(headNorms(c))...)
}

// lessOne says that Hugging Face's scales of norms are those of the model less 1.
func lessOne(list []Spec) []Spec {
	for i := range list {
		list[i].LessOne = list[i].Rows == 1
	}
	return list
}

// gemmaConfig reads what both have in common; every nth layer sees all, unless the file
// says which do.
func gemmaConfig(r *reader, key func(string) string, n int) (Config, error) {
	c, err := neoxConfig(r, key)
	c.Activation = device.GELUTanh
	c.QueryScale = r.amount(key("attention.scale"), 0)
	c.EmbedScale = float32(math.Sqrt(float64(c.Hidden)))
	if c.Window > 0 {
		c.Local = r.locals(key("attention.sliding_window_pattern"), n, c.Layers)
	}
	return c, err
}

func gemma2Config(r *reader, key func(string) string) (Config, error) {
	c, err := gemmaConfig(r, key, 2)
	c.ScoreCap, c.LogitCap = r.amount(key("attn_logit_softcapping"), 50), float32(r.amount(key("final_logit_softcapping"), 30))
	if r.err == nil && c.QueryScale == 0 && c.Layers == 46 { // 27B, whose heads are narrower than its scale says
		c.QueryScale = 1 / math.Sqrt(float64(c.Hidden/c.Heads))
	}
	return c, err
}

func gemma3Config(r *reader, key func(string) string) (Config, error) {
	c, err := gemmaConfig(r, key, 6)
	if !r.f.Has(key("rope.freq_base")) {
		c.RopeBase = 1e6
	}
	c.LocalBase = r.float(key("rope.freq_base_swa"), 10000)
	c.ScoreCap, c.LogitCap = r.amount(key("attn_logit_softcapping"), 0), float32(r.amount(key("final_logit_softcapping"), 0))
	if r.err == nil && c.QueryScale == 0 && c.Layers == 62 { // 27B, as above
		c.QueryScale = 1 / math.Sqrt(float64(c.Hidden/c.Heads))
	}
	return c, err
}

// layerTypes returns Hugging Face's names of what layers see.
func (c Config) layerTypes() []string {
	types := slices.Repeat([]string{"full_attention"}, c.Layers)
	for i := range types {
		if c.WindowOf(i) > 0 {
			types[i] = "sliding_attention"
		}
	}
	return types
}

func (c Config) gemma(architecture, kind string, more map[string]any) map[string]any {
	config := c.decoder(architecture, kind, more)
	config["hidden_activation"] = "gelu_pytorch_tanh"
	delete(config, "hidden_act")
	config["query_pre_attn_scalar"] = math.Round(1 / (c.Scale() * c.Scale()))
	config["sliding_window"], config["layer_types"] = c.Window, c.layerTypes()
	return config
}

func gemma2HuggingFace(c Config) map[string]any {
	return c.gemma("Gemma2ForCausalLM", "gemma2", map[string]any{"attn_logit_softcapping": real(c.ScoreCap), "final_logit_softcapping": real(c.LogitCap)})
}

func gemma3HuggingFace(c Config) map[string]any {
	return c.gemma("Gemma3ForCausalLM", "gemma3_text", map[string]any{"rope_local_base_freq": c.LocalBase})
}

// real is a number that transformers wants with a point in it.
type real float64

// MarshalJSON writes a whole number as 4.0.
func (r real) MarshalJSON() ([]byte, error) {
	text := strconv.FormatFloat(float64(r), 'g', -1, 32)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return []byte(text), nil
}
