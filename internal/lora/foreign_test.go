package lora

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// ggufFile writes an adapter of llama.cpp's with changes.
func ggufFile(t testing.TB, change func(keys map[string]any, add func(name string, rows, cols int))) string {
	t.Helper()
	keys := map[string]any{
		"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": float32(6),
	}
	var out gguf.Writer
	add := func(name string, rows, cols int) {
		out.Add(tensor.Matrix{Name: name, Type: tensor.F32, Rows: rows, Cols: cols, Data: make([]byte, 4*rows*cols)})
	}
	add("blk.0.attn_q.weight.lora_a", 3, 8)
	add("blk.0.attn_q.weight.lora_b", 8, 3)
	change(keys, add)
	for key, value := range keys {
		out.Set(key, value)
	}
	path := filepath.Join(t.TempDir(), "adapter.gguf")
	if err := out.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// mlxDirectory writes an adapter of mlx-lm's.
func mlxDirectory(t testing.TB, config string, tensors ...safetensors.Tensor) string {
	t.Helper()
	var b bytes.Buffer
	if err := safetensors.Encode(&b, tensors, nil); err != nil {
		t.Fatal(err)
	}
	return put(t, map[string][]byte{configFile: []byte(config), mlxWeights: b.Bytes()})
}

func zeros(name string, dims ...int) safetensors.Tensor {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return safetensors.F32(name, make([]float32, n), dims...)
}

func TestForeignRefused(t *testing.T) {
	const q = "model.layers.0.self_attn.q_proj"
	const good = `{"lora_parameters": {"rank": 3, "scale": 2}}`
	for want, path := range map[string]string{
		"it is no adapter but a mmproj": ggufFile(t, func(keys map[string]any, _ func(string, int, int)) { keys["general.type"] = "mmproj" }),
		`adapter.type is "ia3"`:         ggufFile(t, func(keys map[string]any, _ func(string, int, int)) { keys["adapter.type"] = "ia3" }),
		"no key \"adapter.lora.alpha\"": ggufFile(t, func(keys map[string]any, _ func(string, int, int)) { delete(keys, "adapter.lora.alpha") }),
		"activated": ggufFile(t, func(keys map[string]any, _ func(string, int, int)) {
			keys["adapter.alora.invocation_tokens"] = []uint32{1}
		}),
		"blk.9.attn_q.weight.lora_a": ggufFile(t, func(_ map[string]any, add func(string, int, int)) { add("blk.9.attn_q.weight.lora_a", 3, 8) }),
		"one of lora_A and lora_B":   ggufFile(t, func(_ map[string]any, add func(string, int, int)) { add("blk.1.attn_q.weight.lora_a", 3, 8) }),
		"that of the other half": ggufFile(t, func(_ map[string]any, add func(string, int, int)) {
			add("blk.1.attn_q.weight.lora_a", 3, 8)
			add("blk.1.attn_q.weight.lora_b", 8, 2)
		}),
		`"dora"`:                    mlxDirectory(t, `{"fine_tune_type": "dora", "lora_parameters": {"rank": 3, "scale": 2}}`),
		"no rank and scale":         mlxDirectory(t, `{"fine_tune_type": "lora"}`),
		"its shape is [3 9]":        mlxDirectory(t, good, zeros(q+".lora_a", 9, 3), zeros(q+".lora_b", 3, 8)),
		"model.layers.0.q.lora_A":   mlxDirectory(t, good, zeros("model.layers.0.q.lora_a", 8, 3)),
		"q_proj.lora_a":             mlxDirectory(t, good, zeros(q+".lora_a", 8, 3, 1)),
		"adapter_model.safetensors": put(t, map[string][]byte{configFile: []byte(`{"peft_type": "LORA"}`)}),
	} {
		_, err := Read(path, tiny)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// TestAFileIsNoDirectory: whoever names the weights is told to name their directory.
func TestAFileIsNoDirectory(t *testing.T) {
	_, _, all := files(t)
	weights := filepath.Join(put(t, all), weightsFile)
	if _, err := Read(weights, tiny); err == nil || !strings.Contains(err.Error(), "name a directory") {
		t.Errorf("error %v", err)
	}
	if info, err := ReadInfo(weights); err != nil || info.Base != "" {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestForeignSummary: what inspect shows needs no base.
func TestForeignSummary(t *testing.T) {
	path := ggufFile(t, func(map[string]any, func(string, int, int)) {})
	s, err := Summarise(path)
	if err != nil || s.Alpha != 6 || s.Tensors != 2 || s.Numbers != 48 || len(s.Saved) != 0 || !IsAdapter(path) {
		t.Errorf("%+v, %v", s, err)
	}
	const q = "model.layers.0.self_attn.q_proj"
	dir := mlxDirectory(t, `{"model": "a/b", "lora_parameters": {"rank": 3, "scale": 2}}`, zeros(q+".lora_a", 8, 3), zeros(q+".lora_b", 3, 8))
	if s, err = Summarise(dir); err != nil || s.Base != "a/b" || s.Rank != 3 || s.Alpha != 6 || s.Tensors != 2 || !IsAdapter(dir) {
		t.Errorf("%+v, %v", s, err)
	}
	if info, err := ReadInfo(path); err != nil || info.Base != "" {
		t.Errorf("%+v, %v", info, err)
	}
}

// FuzzForeign feeds files of other formats to the reader.
func FuzzForeign(f *testing.F) {
	data, err := os.ReadFile(ggufFile(f, func(map[string]any, func(string, int, int)) {}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data, []byte(`{"lora_parameters": {"rank": 3, "scale": 2}}`))
	f.Add([]byte("GGUF"), []byte(`{"fine_tune_type": "full"}`))
	f.Fuzz(func(t *testing.T, file, config []byte) {
		path := filepath.Join(t.TempDir(), "a.gguf")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		if a, err := Read(path, tiny); err == nil {
			a.Digest()
		}
		const q = "model.layers.0.self_attn.q_proj"
		if json.Valid(config) && isMLX(config) {
			if a, err := Read(mlxDirectory(t, string(config), zeros(q+".lora_a", 8, 3), zeros(q+".lora_b", 3, 8)), tiny); err == nil {
				a.Digest()
			}
		}
	})
}
