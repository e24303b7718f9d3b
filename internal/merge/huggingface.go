package merge

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/flashback-lm/flashback/internal/atomicfile"
	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// WriteHuggingFace writes the merged model as a directory that transformers loads,
// whole or not at all, with all weights as F16 or F32. Nothing may stand at dir.
func (m *Merger) WriteHuggingFace(dir string, t tensor.Type) error {
	dir = filepath.Clean(dir)
	if err := absent(dir); err != nil {
		return err
	}
	files, err := m.jsonFiles(t)
	if err != nil {
		return err
	}
	tensors := m.theirTensors(t)
	return atomicfile.NewDir(dir, func(fresh string) error {
		if err := atomicfile.WriteJSON(fresh, files); err != nil {
			return err
		}
		return atomicfile.Write(filepath.Join(fresh, "model.safetensors"), func(w io.Writer) error {
			return safetensors.Encode(w, tensors, map[string]string{"format": "pt"})
		})
	})
}

// theirTensors returns the weights under Hugging Face's names and in its order of rows.
func (m *Merger) theirTensors(t tensor.Type) []safetensors.Tensor {
	var all []safetensors.Tensor
	for _, p := range m.parts {
		merged := m.matrix(p, t)
		dims := []int{merged.Rows, merged.Cols}
		if merged.Rows == 1 {
			dims = dims[1:]
		}
		var order func(rows []float32) []float32
		if p.LessOne {
			order = lessOne
		}
		if p.Paired > 0 {
			order = func(rows []float32) []float32 { return p.ToHuggingFace(rows, merged.Cols) }
		}
		write := func(out io.Writer) error { return m.write(out, p, t, order) }
		all = append(all, safetensors.Tensor{Name: p.HuggingFace, Type: t, Shape: dims, Write: write})
	}
	return all
}

// lessOne subtracts 1 from the scale of a norm.
func lessOne(scale []float32) []float32 {
	for i := range scale {
		scale[i]--
	}
	return scale
}

// jsonFiles returns the configuration and the tokenizer by the names of their files.
func (m *Merger) jsonFiles(t tensor.Type) (map[string]any, error) {
	c := m.base.Config
	if c.RopeFactors != nil {
		return nil, fmt.Errorf("%s: its rotary frequencies have factors of their own, which Hugging Face's configuration has no place for: write GGUF", m.base.Path)
	}
	files, err := m.base.Tokenizer.HuggingFace(m.added...)
	if err != nil {
		return nil, err
	}
	config := c.HuggingFace()
	config["vocab_size"], config["tie_word_embeddings"] = m.vocab(), m.tied
	config["torch_dtype"] = map[tensor.Type]string{tensor.F16: "float16", tensor.F32: "float32"}[t]
	generation := map[string]any{}
	for key, id := range map[string]int32{"bos_token_id": m.base.Tokenizer.BOS(), "eos_token_id": m.base.Tokenizer.EOS()} {
		if id >= 0 {
			config[key], generation[key] = id, id
		}
	}
	if ends := m.base.Tokenizer.Ends(); len(ends) > 1 {
		generation["eos_token_id"] = ends
	}
	if len(m.added) > 0 {
		var marks []int
		for i := range m.added {
			marks = append(marks, c.Vocab+i)
		}
		generation["suppress_tokens"] = marks // the base's vocabulary alone is sampled
	}
	files["config.json"], files["generation_config.json"] = config, generation
	return files, nil
}
