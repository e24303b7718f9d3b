package merge

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// fileTypes are llama.cpp's numbers for files that are mostly of a type
// (general.file_type, llama_ftype).
var fileTypes = map[tensor.Type]uint32{tensor.F32: 0, tensor.F16: 1}

// WriteGGUF writes the merged model to a file that llama.cpp and FlashBack load, whole
// or not at all: matrices as F16 or F32, vectors as F32. Nothing may stand at path.
// All metadata are the base's; the vocabulary grows by the marks.
func (m *Merger) WriteGGUF(path string, t tensor.Type) error {
	if err := absent(path); err != nil {
		return err
	}
	if info, err := os.Stat(m.base.Path); err == nil && info.IsDir() {
		return fmt.Errorf("%s: the base is a Hugging Face directory, whose tokenizer is not written as GGUF: use --format hf, and convert that with llama.cpp", m.base.Path)
	}
	f, err := gguf.Open(m.base.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	var out gguf.Writer
	for _, key := range f.Keys() {
		if strings.HasPrefix(key, "split.") {
			continue // of several files, which become one
		}
		v, err := f.Value(key)
		if err != nil {
			return err
		}
		out.Set(key, v)
	}
	out.Set("general.file_type", fileTypes[t])
	if err := m.growVocabulary(&out, f); err != nil {
		return err
	}
	written := map[string]bool{}
	for _, w := range m.wholes() {
		merged := m.matrix(w, t)
		if merged.Rows == 1 {
			merged.Type = tensor.F32
		}
		out.AddFunc(merged, func(out io.Writer) error {
			for _, p := range w {
				if err := m.write(out, p, merged.Type, nil); err != nil {
					return err
				}
			}
			return nil
		})
		written[merged.Name] = true
	}
	for _, other := range f.Tensors() { // such as factors of the rotary frequencies
		if !written[other.Name] {
			out.Add(other)
		}
	}
	return out.WriteFile(path)
}

// growVocabulary sets the lists of tokens with the added ones behind them, which are
// control tokens: no text becomes one.
func (m *Merger) growVocabulary(out *gguf.Writer, f *gguf.File) error {
	if len(m.added) == 0 {
		return nil
	}
	vocabSize := m.base.Config.Family + ".vocab_size"
	const tokens, types, scores = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.scores"
	if f.Has(vocabSize) {
		out.Set(vocabSize, uint32(m.vocab()))
	}
	names, err := f.Strings(tokens)
	if err != nil {
		return err
	}
	out.Set(tokens, append(names, m.added...))
	kinds := slices.Repeat([]int32{tokenizer.TypeNormal}, len(names)) // what a file without the list means
	if f.Has(types) {
		stored, err := f.Ints(types)
		if err != nil {
			return err
		}
		for i, kind := range stored {
			kinds[i] = int32(kind) // model.Load has checked number and range
		}
	}
	for range m.added {
		kinds = append(kinds, tokenizer.TypeControl)
	}
	out.Set(types, kinds)
	if f.Has(scores) {
		stored, err := f.Floats(scores)
		if err != nil {
			return err
		}
		if len(stored) != len(names) {
			return fmt.Errorf("%s: %s has %d numbers for %d tokens", f.Path(), scores, len(stored), len(names))
		}
		grown := make([]float32, m.vocab()) // those of control tokens stay 0
		for i, s := range stored {
			grown[i] = float32(s)
		}
		out.Set(scores, grown)
	}
	return nil
}

// vocab returns the rows of the merged embedding.
func (m *Merger) vocab() int { return m.base.Config.Vocab + len(m.added) }
