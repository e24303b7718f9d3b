package merge

import (
	"bytes"
	"io"
	"path/filepath"
	"slices"

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
	for _, w := range m.wholes() {
		merged := m.matrix(w, t)
		dims := []int{merged.Rows, merged.Cols}
		switch {
		case merged.Rows == 1:
			dims = dims[1:]
		case w[0].Transposed:
			slices.Reverse(dims)
		}
		write := func(out io.Writer) error {
			for _, p := range w {
				if err := m.write(out, p, t, theirOrder(p)); err != nil {
					return err
				}
			}
			return nil
		}
		if w[0].Transposed {
			write = transposed(write, t, merged.Rows, merged.Cols)
		}
		all = append(all, safetensors.Tensor{Name: w[0].HuggingFace, Type: t, Shape: dims, Write: write})
	}
	return all
}

// theirOrder returns what makes Hugging Face's rows of a part's; nil: they are the same.
func theirOrder(p part) func(rows []float32) []float32 {
	switch {
	case p.LessOne:
		return lessOne
	case p.Paired > 0:
		return func(rows []float32) []float32 { return p.ToHuggingFace(rows, p.stored.Cols) }
	}
	return nil
}

// transposed returns what writes a matrix [rows, cols] as [cols, rows].
func transposed(write func(io.Writer) error, t tensor.Type, rows, cols int) func(io.Writer) error {
	return func(out io.Writer) error {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return err
		}
		size := t.RowBytes(1)
		data, turned := b.Bytes(), make([]byte, 0, b.Len())
		for c := range cols {
			for r := range rows {
				at := (r*cols + c) * size
				turned = append(turned, data[at:at+size]...)
			}
		}
		_, err := out.Write(turned)
		return err
	}
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
