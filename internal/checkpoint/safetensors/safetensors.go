// Package safetensors reads and writes safetensors files, the format of Hugging
// Face's checkpoints: eight bytes with the length of a JSON header, the header,
// and the tensors' bytes without gaps.
//
// It is ours because the files are hostile and the format is small; only the types
// F32, F16 and BF16 are read.
package safetensors

import (
	"fmt"
	"io"

	"github.com/flashback-lm/flashback/internal/mapped"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// Tensor is one array of a file, row-major.
type Tensor struct {
	Name  string
	Type  tensor.Type // F32, F16 or BF16
	Shape []int
	Data  []byte // little-endian; aliases the map of a File
	// Write, if not nil, is what Encode asks for the data instead: then the tensors
	// need never be in memory together, nor any of them whole.
	Write func(out io.Writer) error
}

// Len returns the number of elements.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Floats returns the elements in f32, in memory of their own.
func (t Tensor) Floats() []float32 {
	out := make([]float32, t.Len())
	quant.Dequantize(t.Type, out, t.Data)
	return out
}

// File is an open file, mapped into memory and checked whole.
type File struct {
	// Tensors are in the order of their bytes.
	Tensors []Tensor
	// Metadata are the header's free-form strings.
	Metadata map[string]string

	mapping *mapped.File
}

// Parse checks a file that is in memory, which its tensors then alias; errors call it by name.
func Parse(data []byte, name string) (*File, error) {
	f := &File{mapping: &mapped.File{}}
	var err error
	if f.Tensors, f.Metadata, err = parse(data); err != nil {
		return nil, fmt.Errorf("%s: %w; %s", name, err, damaged)
	}
	return f, nil
}

// Open maps the file at path and checks its header. Errors name the file, the
// place, the reason and what to do.
func Open(path string) (*File, error) {
	m, err := mapped.Open(path)
	if err != nil {
		return nil, err
	}
	f := &File{mapping: m}
	if f.Tensors, f.Metadata, err = parse(m.Data); err != nil {
		m.Close()
		return nil, fmt.Errorf("%s: %w; %s", path, err, damaged)
	}
	return f, nil
}

// Close unmaps the file. The data of its tensors must not be used afterwards.
func (f *File) Close() error { return f.mapping.Close() }

// damaged says what to do about a file.
const damaged = "the file is damaged, was cut short or is of another kind: save or copy it again"
