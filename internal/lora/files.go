package lora

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
)

// opened are the files of an adapter, whatever wrote them, in PEFT's words: its names, shapes
// and orders of rows.
type opened struct {
	weights string // path
	config  *peftConfig
	tensors []safetensors.Tensor
	close   func() error
}

// open opens the adapter at path: a directory of PEFT's or of mlx-lm's, or a GGUF file,
// whose names only the base's shape tells.
func open(path string, base Shape) (*opened, error) {
	if isGGUF(path) {
		return openGGUF(path, base)
	}
	config := filepath.Join(path, configFile)
	data, err := readFile(config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, errNoAdapter)
	} else if err != nil {
		return nil, err
	}
	if isMLX(data) {
		return openMLX(path, data)
	}
	c, err := parseConfig(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", config, err)
	}
	weights := filepath.Join(path, weightsFile)
	f, err := safetensors.Open(weights)
	if err != nil {
		return nil, err
	}
	return &opened{weights, c, f.Tensors, f.Close}, nil
}

// openFS opens the adapter of PEFT's whose files fsys has, which errors call by name.
func openFS(fsys fs.FS, name string) (*opened, error) {
	config, err := fs.ReadFile(fsys, configFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c, err := parseConfig(config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(name, configFile), err)
	}
	data, err := fs.ReadFile(fsys, weightsFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	weights := filepath.Join(name, weightsFile)
	f, err := safetensors.Parse(data, weights)
	if err != nil {
		return nil, err
	}
	return &opened{weights, c, f.Tensors, f.Close}, nil
}

// fixed returns a configuration by which every factor has the scale, or where that is 0
// alpha/rank by its own rank; r and alpha are what is shown.
func fixed(base string, r int, alpha, scale float64) *peftConfig {
	return &peftConfig{
		PeftType: "LORA", Base: &base, R: int64(r), Alpha: alpha, Targets: json.RawMessage("null"),
		scale: func(rank int) float32 {
			if scale == 0 {
				return float32(alpha / float64(rank))
			}
			return float32(scale)
		},
	}
}

// transposed returns a matrix [rows, cols] as [cols, rows].
func transposed(values []float32, rows, cols int) []float32 {
	out := make([]float32, len(values))
	for r := range rows {
		for c := range cols {
			out[c*rows+r] = values[r*cols+c]
		}
	}
	return out
}
