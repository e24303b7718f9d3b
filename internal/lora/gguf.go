package lora

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// isGGUF reports whether path is a file that may be an adapter of llama.cpp's.
func isGGUF(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && strings.HasSuffix(strings.ToLower(path), ".gguf")
}

// saysAdapter reports whether a GGUF file calls itself an adapter.
func saysAdapter(path string) bool {
	s, err := gguf.Look(path)
	if err != nil {
		return false
	}
	defer s.Close()
	kind, err := s.String("general.type")
	return err == nil && kind == "adapter"
}

// openGGUF opens an adapter of llama.cpp's (convert_lora_to_gguf.py): lora_a [rank, in]
// and lora_b [out, rank] of tensors by GGUF's names, rows in GGUF's order, with one alpha
// for all; 0 is no scale. A table's are by token: lora_a [tokens, rank].
func openGGUF(path string, base Shape) (*opened, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text := func(key string) string {
		s, err := f.String(key)
		if err != nil {
			return ""
		}
		return s
	}
	if kind := text("general.type"); kind != "adapter" {
		return nil, fmt.Errorf("%s: it is no adapter but a %s: name a model with --model", path, clip(cmp.Or(kind, "model")))
	}
	if kind := text("adapter.type"); kind != "lora" {
		return nil, fmt.Errorf("%s: adapter.type is %q: only lora is read", path, clip(kind))
	}
	if f.Has("adapter.alora.invocation_tokens") {
		return nil, fmt.Errorf("%s: it is an activated adapter (adapter.alora.invocation_tokens), which is read in FlashBack's own form only", path)
	}
	alpha, err := f.Float("adapter.lora.alpha")
	if err != nil {
		return nil, err
	}
	if !(math.Abs(alpha) <= 1e9) {
		return nil, fmt.Errorf("%s: adapter.lora.alpha is %g: that is no scale", path, alpha)
	}
	scale := 0.0
	if alpha == 0 {
		scale = 1
	}
	specs, rank := base.byGGUF(), 1
	out := &opened{weights: path, close: func() error { return nil }}
	for _, m := range f.Tensors() {
		t := translated(m, specs)
		if strings.HasSuffix(t.Name, suffixA) {
			rank = t.Shape[0]
		}
		out.tensors = append(out.tensors, t)
	}
	if out.config = fixed(text("general.base_model.0.name"), rank, alpha, scale); scale != 0 {
		out.config.Alpha = float64(rank)
	}
	return out, nil
}

// byGGUF returns what factors may change, by GGUF's names.
func (s Shape) byGGUF() map[string]model.Spec {
	specs := map[string]model.Spec{s.Embedding.GGUF: s.Embedding}
	if s.Head.Rows > 0 {
		specs[s.Head.GGUF] = s.Head
	}
	for _, t := range s.Projections {
		if t.Rows == 0 {
			continue
		}
		for i := range s.Layers {
			if spec := t.In(i); specs[spec.GGUF].Rows == 0 { // of several in one the first stands for all
				specs[spec.GGUF] = spec
			}
		}
	}
	return specs
}

// translated returns a tensor of a GGUF adapter as PEFT has it; one that changes nothing
// of the base keeps its name, which nobody knows.
func translated(m tensor.Matrix, specs map[string]model.Spec) safetensors.Tensor {
	values := make([]float32, m.Rows*m.Cols)
	quant.Dequantize(m.Type, values, m.Data)
	for half, suffixes := range map[string][2]string{".lora_a": {suffixA, embeddingA}, ".lora_b": {suffixB, embeddingB}} {
		of, ok := strings.CutSuffix(m.Name, half)
		spec, known := specs[of]
		switch {
		case !ok || !known:
		case spec.Role == model.Embedding && half == ".lora_a":
			return safetensors.F32(prefix+spec.Module()+suffixes[1], transposed(values, m.Rows, m.Cols), m.Cols, m.Rows)
		case spec.Role == model.Embedding:
			return safetensors.F32(prefix+spec.Module()+suffixes[1], values, m.Rows, m.Cols)
		default:
			if half == ".lora_b" && spec.Paired > 0 && m.Rows%spec.Paired == 0 {
				values = spec.ToHuggingFace(values, m.Cols)
			}
			return safetensors.F32(prefix+spec.Module()+suffixes[0], values, m.Rows, m.Cols)
		}
	}
	return safetensors.F32(m.Name, values, m.Rows, m.Cols)
}
