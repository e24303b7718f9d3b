package lora

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
)

// mlxWeights is the name of the weights in a directory of mlx-lm's.
const mlxWeights = "adapters.safetensors"

// mlxConfig is mlx-lm's adapter_config.json as far as it matters.
type mlxConfig struct {
	Kind       string  `json:"fine_tune_type"` // lora, dora or full; "": lora
	Model      string  `json:"model"`
	PeftType   *string `json:"peft_type"`
	Parameters *struct {
		Rank  int     `json:"rank"`
		Scale float64 `json:"scale"`
	} `json:"lora_parameters"`
}

// isMLX reports whether a configuration is mlx-lm's.
func isMLX(data []byte) bool {
	var c mlxConfig
	return json.Unmarshal(data, &c) == nil && c.PeftType == nil && (c.Kind != "" || c.Parameters != nil)
}

// openMLX opens a directory of mlx-lm's. Its factors are PEFT's across: lora_a [in, rank]
// and lora_b [rank, out], of modules by Hugging Face's names, with one scale for all.
func openMLX(dir string, config []byte) (*opened, error) {
	var c mlxConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, configFile), err)
	}
	switch {
	case c.Kind != "" && c.Kind != "lora":
		return nil, fmt.Errorf("%s: fine_tune_type is %q: of mlx-lm's only lora is read; fuse it with its base by mlx_lm.fuse and convert that model", filepath.Join(dir, configFile), clip(c.Kind))
	case c.Parameters == nil || c.Parameters.Rank < 1 || c.Parameters.Rank > maxRank || !(math.Abs(c.Parameters.Scale) <= 1e9):
		return nil, fmt.Errorf("%s: lora_parameters has no rank and scale that make sense", filepath.Join(dir, configFile))
	}
	path := filepath.Join(dir, mlxWeights)
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	rank, scale := c.Parameters.Rank, c.Parameters.Scale
	out := &opened{weights: path, config: fixed(c.Model, rank, scale*float64(rank), scale), close: f.Close}
	for _, t := range f.Tensors {
		for theirs, peft := range map[string]string{".lora_a": suffixA, ".lora_b": suffixB} {
			if module, ok := strings.CutSuffix(t.Name, theirs); ok && len(t.Shape) == 2 {
				rows, cols := t.Shape[0], t.Shape[1]
				t = safetensors.F32(prefix+module+peft, transposed(t.Floats(), rows, cols), cols, rows)
			}
		}
		out.tensors = append(out.tensors, t)
	}
	return out, nil
}
