package lora

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/flashback-lm/flashback/internal/atomicfile"
	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
	"github.com/flashback-lm/flashback/internal/model"
)

// Write writes the adapter as PEFT does, with flashback.json beside it, to the
// directory dir, whole or not at all. An adapter that is there is replaced, and stays
// where the writing fails; a directory with anything else is left alone.
func Write(dir string, a *Adapter) error {
	if a.Any() {
		return errors.New("adapters that change norms, the head or all embeddings are read, not written")
	}
	files := map[string]any{}
	if a.Tokenizer != nil {
		var err error
		if files, err = a.Tokenizer.HuggingFace(a.newTokens()...); err != nil {
			return err
		}
	}
	files[configFile], files[infoFile] = a.config(), a.Info
	dir = filepath.Clean(dir)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 && !IsAdapter(dir) {
		return fmt.Errorf("%s: is there and is no adapter: name another directory", dir)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	return atomicfile.ReplaceDir(dir, func(fresh string) error {
		if err := atomicfile.WriteJSON(fresh, files); err != nil {
			return err
		}
		return atomicfile.Write(filepath.Join(fresh, weightsFile), func(w io.Writer) error {
			return safetensors.Encode(w, a.tensors(), map[string]string{"format": "pt"})
		})
	})
}

// newTokens names the tokens between the base's and the last one that the adapter adds.
// A base may have embeddings that no token has, which then get names, so that the
// adapter's tokens come to their own ids.
func (a *Adapter) newTokens() []string {
	last := int32(a.Shape.Vocab) - 1
	if len(a.Rows) > 0 {
		last = max(last, a.Rows[len(a.Rows)-1].Token)
	}
	if int(last) < a.Shape.Vocab {
		return nil
	}
	var names []string
	for id := int32(a.Tokenizer.Size()); id <= last; id++ {
		name := fmt.Sprintf("[PAD%d]", id)
		if m := a.Info.Marks; m != nil && id == m.Left {
			name = LeftMark
		} else if m != nil && id == m.Right {
			name = RightMark
		}
		names = append(names, name)
	}
	return names
}

// tensors returns the weights under PEFT's names and in its order of rows.
func (a *Adapter) tensors() []safetensors.Tensor {
	var all []safetensors.Tensor
	if len(a.Rows) > 0 {
		var rows []float32
		for _, r := range a.Rows {
			rows = append(rows, r.Embedding...)
		}
		all = append(all, safetensors.F32(prefix+a.Shape.Embedding.Module()+deltaSuffix, rows, len(a.Rows), a.Shape.Embedding.Cols))
	}
	for i := range a.Layers {
		for t, f := range a.Layers[i] {
			parts := a.Shape.module(model.Role(t))
			if f == nil || parts[0] != model.Role(t) {
				continue
			}
			name := prefix + a.Shape.Module(i, model.Role(t))
			var b []float32
			for _, r := range parts { // of New and of Read alike, all have a factor, and one A
				b = append(b, a.Shape.Projections[r].ToHuggingFace(a.Layers[i][r].B, f.Rank)...)
			}
			all = append(all,
				safetensors.F32(name+suffixA, f.A, f.Rank, f.In),
				safetensors.F32(name+suffixB, b, len(b)/f.Rank, f.Rank))
		}
	}
	return all
}

// config returns adapter_config.json. Where a factor's rank or scale is not the
// configuration's, a pattern says so.
func (a *Adapter) config() map[string]any {
	c := a.Config
	targets := []string{}
	for _, t := range c.Targets {
		if name := a.Shape.target(t, c.Targets); !slices.Contains(targets, name) {
			targets = append(targets, name)
		}
	}
	ranks, alphas := map[string]int{}, map[string]float64{}
	for i := range a.Layers {
		for t, f := range a.Layers[i] {
			if f == nil {
				continue
			}
			if f.Rank != c.Rank {
				ranks[a.Shape.Module(i, model.Role(t))] = f.Rank
			}
			if f.Scale != c.Scale(f.Rank, c.Alpha) {
				alpha := float64(f.Scale) * float64(f.Rank)
				if c.RSLoRA {
					alpha = float64(f.Scale) * math.Sqrt(float64(f.Rank))
				}
				alphas[a.Shape.Module(i, model.Role(t))] = alpha
			}
		}
	}
	config := map[string]any{
		"peft_type": "LORA", "task_type": "CAUSAL_LM", "inference_mode": true, "bias": "none",
		"base_model_name_or_path": c.Base, "r": c.Rank, "lora_alpha": c.Alpha, "lora_dropout": c.Dropout,
		"use_rslora": c.RSLoRA, "rank_pattern": ranks, "alpha_pattern": alphas, "target_modules": targets,
		"fan_in_fan_out": false, "init_lora_weights": true, "modules_to_save": nil, "trainable_token_indices": nil,
	}
	if len(a.Rows) > 0 {
		var ids []int32
		for _, r := range a.Rows {
			ids = append(ids, r.Token)
		}
		config["trainable_token_indices"] = map[string][]int32{last(a.Shape.Embedding.Module()): ids}
	}
	return config
}
