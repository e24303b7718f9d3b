package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
)

// parseConfig returns the values of config.json, those of objects in it under names with
// dots: what a part of it says of text moves to the top.
func parseConfig(data []byte) (map[string]any, error) {
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	var config map[string]any
	if err := dec.Decode(&config); err != nil {
		return nil, err
	}
	if text, ok := config["text_config"].(map[string]any); ok { // of a model that sees, too
		maps.Copy(config, text)
	}
	if q, ok := config["quantization_config"].(map[string]any); ok {
		return nil, fmt.Errorf("its weights are quantised by %v, which is not supported: use the directory with bf16 or f16 weights, or a GGUF file", q["quant_method"])
	}
	values := map[string]any{}
	flatten(values, "", config)
	kind, ok := values["model_type"].(string)
	if !ok {
		return nil, fmt.Errorf("it has no model_type: it is not the configuration of a model")
	}
	values["general.architecture"] = kind
	if name, ok := architectures[kind]; ok {
		values["general.architecture"] = name
	}
	return values, derive(values)
}

// flatten puts the values of nested objects under names with dots. Nulls are absent.
func flatten(into map[string]any, prefix string, object map[string]any) {
	for key, v := range object {
		switch v := v.(type) {
		case nil:
		case map[string]any:
			flatten(into, prefix+key+".", v)
		default:
			into[prefix+key] = v
		}
	}
}

// ropeObjects are where configurations say how rotary frequencies are scaled, of older and
// of newer transformers.
var ropeObjects = []string{"rope_scaling.", "rope_parameters.", "rope_parameters.full_attention."}

// inRope returns the names of a value that says how rotary frequencies are scaled.
func inRope(key string) (all []string) {
	for _, at := range ropeObjects {
		all = append(all, at+key)
	}
	return all
}

// derived stands before the names of values that follow from others of config.json: GGUF has
// them under keys of their own.
const derived = "derived."

// derive adds what GGUF says in another way.
func derive(values map[string]any) error {
	number := func(all ...string) float64 { // 0: absent
		for _, key := range all {
			if n, ok := values[key].(json.Number); ok {
				if f, err := n.Float64(); err == nil {
					return f
				}
			}
		}
		return 0
	}
	set := func(key string, v float64) {
		values[derived+key] = json.Number(strconv.FormatFloat(v, 'g', -1, 64))
	}
	if values["use_sliding_window"] == false {
		delete(values, "sliding_window")
	}
	if n := number("query_pre_attn_scalar"); n > 0 {
		set("attention.scale", 1/math.Sqrt(n))
	}
	if types, ok := values["layer_types"].([]any); ok {
		local := make([]any, len(types))
		for i, t := range types {
			if local[i] = t == sliding; t != sliding && t != full {
				return fmt.Errorf("layer_types says %v of layer %d, which is not supported: %s and %s are", t, i, full, sliding)
			}
		}
		values[derived+"attention.sliding_window_pattern"] = local
	}
	if part := number(append(inRope("partial_rotary_factor"), "partial_rotary_factor")...); part > 0 {
		width := number("head_dim")
		if width == 0 {
			width = math.Trunc(number("hidden_size") / max(1, number("num_attention_heads")))
		}
		set("rope.dimension_count", math.Trunc(width*part))
	}
	switch values["general.architecture"] {
	case "gpt2":
		if number("n_inner") == 0 {
			set("feed_forward_length", 4*number("n_embd"))
		}
	case "opt":
		set("attention.layer_norm_epsilon", 1e-5)
		values[derived+"norm_after"] = values["do_layer_norm_before"] == false
	}
	deriveScaling(values, number, set)
	return nil
}

// deriveScaling brings the scalings of rotary frequencies into GGUF's form: Llama 3's is a
// vector of factors (see addFactors), LongRoPE's older name is su, a factor without a type
// is left out, and attention's factor follows from the lengths where it is not given, or
// has YaRN's own in it (transformers' modeling_rope_utils.py).
func deriveScaling(values map[string]any, number func(...string) float64, set func(string, float64)) {
	for _, at := range ropeObjects {
		if values[at+"rope_type"] == nil && values[at+"type"] == nil && values[at+"factor"] != nil {
			values[at+"rope_type"] = "none"
		}
		for _, key := range []string{at + "rope_type", at + "type"} {
			switch values[key] {
			case "llama3", "default":
				values[key] = "none"
			case "su":
				values[key] = "longrope"
			}
			attention, factor := number(at+"attention_factor"), number(at+"factor")
			switch values[key] {
			case "yarn":
				if attention > 0 && factor > 1 {
					set("rope.scaling.attn_factor", attention/(1+0.1*math.Log(factor)))
				}
			case "longrope":
				original := number(at+"original_max_position_embeddings", "original_max_position_embeddings")
				if longest := number("max_position_embeddings"); attention == 0 && original > 1 && longest > original {
					set("rope.scaling.attn_factor", math.Sqrt(1+math.Log(longest/original)/math.Log(original)))
				}
			}
		}
	}
}

// Hugging Face's names of what a layer sees.
const (
	full    = "full_attention"
	sliding = "sliding_attention"
)

// assumed are values of config.json that no family computes otherwise; where they are
// absent, they are these.
var assumed = map[string]any{
	"scale_attn_weights": true, "scale_attn_by_inverse_layer_idx": false, "add_cross_attention": false, // GPT-2
	"_remove_final_layer_norm": false, "enable_bias": true, "layer_norm_elementwise_affine": true, // OPT
	"use_bidirectional_attention": false, // Gemma 3
}

// architectures are GGUF's names of Hugging Face's model_type where they differ.
var architectures = map[string]string{
	"gemma3_text": "gemma3",
	"mistral":     "llama",
}

// names are what config.json calls GGUF's keys, the name of most families first.
var names = map[string][]string{
	"block_count":                          {"num_hidden_layers", "n_layer"},
	"embedding_length":                     {"hidden_size", "n_embd"},
	"attention.head_count":                 {"num_attention_heads", "n_head"},
	"attention.head_count_kv":              {"num_key_value_heads"},
	"embedding_length_in":                  {"word_embed_proj_dim"},
	"feed_forward_length":                  {"intermediate_size", "n_inner", "ffn_dim"},
	"context_length":                       {"max_position_embeddings", "n_positions"},
	"attention.layer_norm_rms_epsilon":     {"rms_norm_eps"},
	"attention.layer_norm_epsilon":         {"layer_norm_epsilon", "layer_norm_eps"},
	"attention.key_length":                 {"head_dim"},
	"attention.value_length":               {"head_dim"},
	"attention.sliding_window":             {"sliding_window"},
	"attention.sliding_window_pattern":     {"sliding_window_pattern"},
	"rope.freq_base":                       append([]string{"rope_theta"}, inRope("rope_theta")...),
	"rope.freq_base_swa":                   {"rope_local_base_freq", "rope_parameters.sliding_attention.rope_theta"},
	"rope.scaling.type":                    append(inRope("rope_type"), inRope("type")...),
	"rope.scaling.factor":                  inRope("factor"),
	"rope.scaling.attn_factor":             inRope("attention_factor"),
	"rope.scaling.yarn_beta_fast":          inRope("beta_fast"),
	"rope.scaling.yarn_beta_slow":          inRope("beta_slow"),
	"rope.scaling.original_context_length": append(inRope("original_max_position_embeddings"), "original_max_position_embeddings"),
	"attn_logit_softcapping":               {"attn_logit_softcapping"},
	"final_logit_softcapping":              {"final_logit_softcapping"},
}
