package lora

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// maxRank bounds the rank of a factor: above the width of any projection, an update
// is not of low rank.
const maxRank = 1 << 16

// peftConfig is adapter_config.json as far as it matters.
type peftConfig struct {
	PeftType     string            `json:"peft_type"`
	Base         *string           `json:"base_model_name_or_path"`
	R            int64             `json:"r"`
	Alpha        float64           `json:"lora_alpha"`
	Dropout      float64           `json:"lora_dropout"`
	RSLoRA       bool              `json:"use_rslora"`
	RankPattern  patterns[int64]   `json:"rank_pattern"`
	AlphaPattern patterns[float64] `json:"alpha_pattern"`
	Targets      json.RawMessage   `json:"target_modules"` // names, or a regular expression; shown only
	Rows         json.RawMessage   `json:"trainable_token_indices"`
	Saved        []string          `json:"modules_to_save"`
	Init         any               `json:"init_lora_weights"`

	// scale, if not nil, is that of a factor by the rank that its tensors have, whatever
	// the fields above.
	scale func(rank int) float32
}

// harmless are keys that change nothing of what the files compute: how weights began,
// how they are stored, what wrote them, and which modules were chosen, which the tensors
// tell.
var harmless = []string{
	"auto_mapping", "bias", "corda_config", "ensure_weight_tying", "eva_config", "exclude_modules", "fan_in_fan_out", "inference_mode",
	"layers_pattern", "layers_to_transform", "loftq_config", "lora_ga_config", "megatron_core", "peft_version", "qalora_group_size",
	"revision", "runtime_config", "task_type",
}

// known are the keys of peftConfig.
var known = []string{
	"peft_type", "base_model_name_or_path", "r", "lora_alpha", "lora_dropout", "use_rslora", "rank_pattern",
	"alpha_pattern", "target_modules", "trainable_token_indices", "modules_to_save", "init_lora_weights",
}

// off are the values of a key that asks for nothing.
var off = []string{"", "null", "false", "{}", "[]", `""`, `"none"`}

// parseConfig reads adapter_config.json. What FlashBack does not compute is
// refused by its name, kinds that later versions of PEFT bring included.
func parseConfig(data []byte) (*peftConfig, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if slices.Contains(known, key) || slices.Contains(harmless, key) || slices.Contains(off, compact(all[key])) {
			continue
		}
		return nil, fmt.Errorf("%s is %s: FlashBack does not compute that kind of adapter; train one without it", key, clip(compact(all[key])))
	}
	c := &peftConfig{Alpha: 8, R: 8} // PEFT's defaults
	if err := json.Unmarshal(data, c); err != nil {
		return nil, err
	}
	if c.PeftType != "LORA" {
		return nil, fmt.Errorf("peft_type is %q: only LORA is read", clip(c.PeftType))
	}
	// These subtract from the base's own weights what the factors begin with.
	if init, ok := c.Init.(string); ok && !slices.Contains([]string{"gaussian", "eva", "orthogonal"}, init) {
		return nil, fmt.Errorf("init_lora_weights is %q, which changes the base model's weights; convert the adapter to a plain one with PEFT", clip(init))
	}
	return c, c.checkNumbers()
}

func (c *peftConfig) checkNumbers() error {
	ranks := map[string]int64{"r": c.R}
	for _, p := range c.RankPattern {
		ranks["rank_pattern "+clip(p.expression)] = p.value
	}
	for name, rank := range ranks {
		if rank < 1 || rank > maxRank {
			return fmt.Errorf("%s is %d: it must be from 1 to %d", name, rank, maxRank)
		}
	}
	alphas := map[string]float64{"lora_alpha": c.Alpha, "lora_dropout": c.Dropout}
	for _, p := range c.AlphaPattern {
		alphas["alpha_pattern "+clip(p.expression)] = p.value
	}
	for name, alpha := range alphas {
		if math.Abs(alpha) > 1e9 {
			return fmt.Errorf("%s is %g: that is no scale", name, alpha)
		}
	}
	return nil
}

// targets returns the names in target_modules; nil where it is an expression.
func (c *peftConfig) targets() []string {
	var names []string
	if json.Unmarshal(c.Targets, &names) != nil {
		return nil
	}
	return names
}

// rows returns the tokens of trainable_token_indices: {"embed_tokens": ids}, or
// ids alone. embedding is the name of the embedding's module.
func (c *peftConfig) rows(embedding string) ([]int32, error) {
	if slices.Contains(off, compact(c.Rows)) {
		return nil, nil
	}
	var ids []int32
	if json.Unmarshal(c.Rows, &ids) == nil {
		return ids, nil
	}
	var byModule map[string][]int32
	if err := json.Unmarshal(c.Rows, &byModule); err != nil {
		return nil, fmt.Errorf("trainable_token_indices: %w", err)
	}
	for name, ids := range byModule {
		if last(name) != embedding || len(byModule) > 1 {
			return nil, fmt.Errorf("trainable_token_indices names %q: only %s is read", clip(name), embedding)
		}
		return ids, nil
	}
	return nil, nil
}

// saves reports whether modules_to_save names a module: by its end, as PEFT does.
func (c *peftConfig) saves(module string) bool {
	return slices.ContainsFunc(c.Saved, func(name string) bool { return strings.HasSuffix(module, name) })
}

// rankOf and alphaOf return those of a module.
func (c *peftConfig) rankOf(module string) (int, error) {
	r, err := match("rank_pattern", c.RankPattern, module, c.R)
	return int(r), err
}

func (c *peftConfig) alphaOf(module string) (float64, error) {
	return match("alpha_pattern", c.AlphaPattern, module, c.Alpha)
}

// patterns are values of modules by expressions, in the order of the file.
type patterns[T any] []pattern[T]

type pattern[T any] struct {
	expression string
	value      T
}

// UnmarshalJSON reads an object, whose order matters.
func (p *patterns[T]) UnmarshalJSON(data []byte) error {
	var byExpression map[string]T
	if err := json.Unmarshal(data, &byExpression); err != nil {
		return err
	}
	*p = nil
	d := json.NewDecoder(bytes.NewReader(data))
	for level := 0; ; {
		token, err := d.Token()
		if err != nil { // the end: the object is sound
			return nil
		}
		switch token := token.(type) {
		case json.Delim:
			level++
		case string:
			if value, ok := byExpression[token]; ok && level == 1 {
				*p = append(*p, pattern[T]{token, value})
			}
		}
	}
}

// match returns the value of the first pattern that a module's name ends in, as PEFT
// matches them, or the fallback.
func match[T any](key string, all patterns[T], module string, fallback T) (T, error) {
	for _, p := range all {
		re, err := regexp.Compile(`^(?:.*\.)?(?:` + p.expression + `)$`)
		if err != nil {
			return fallback, fmt.Errorf("%s %q: %w", key, clip(p.expression), err)
		}
		if re.MatchString(module) {
			return p.value, nil
		}
	}
	return fallback, nil
}

// compact returns JSON without blanks.
func compact(raw json.RawMessage) string {
	return strings.Join(strings.Fields(string(raw)), "")
}

// clip shortens what a file holds so that an error stays readable.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// errNoAdapter says that a directory has no adapter.
var errNoAdapter = errors.New("no adapter is there: name a directory with adapter_config.json and adapter_model.safetensors, such as train or PEFT write, one of mlx-lm's, or a .gguf file of llama.cpp's")
