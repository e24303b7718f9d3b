// Package gguf reads and writes GGUF files (versions 2 and 3, the format of ggml
// and llama.cpp), mapped into memory and read-only.
//
// The parser is ours because the files are hostile: of the Go libraries at hand,
// gguf-parser-go panics on overflowing dimensions and accepts a tensor that lies
// outside the file.
package gguf

import (
	"errors"
	"fmt"
	"slices"

	"github.com/flashback-lm/flashback/internal/mapped"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// File is an open GGUF file. Everything in it was checked by Open: the getters
// fail only for a key or tensor that is absent or of another type. It is safe for
// concurrent use until Close.
type File struct {
	path    string
	mapping *mapped.File // nil where the bytes are not a file's
	split   split
	others  []*File // the parts behind the first of a model in several files
	data    []byte
	keys    []string // in file order
	values  map[string]value
	tensors []tensor.Matrix // in file order
	index   map[string]int  // name → place in tensors
}

// Open maps the file at path and checks it whole: header, metadata and the place
// of every tensor. Of a model in several files, -00001-of-0000N.gguf and so on, path is
// any, and all are opened. Errors name the file, the key, tensor or byte, the reason, and
// what to do.
func Open(path string) (*File, error) {
	f, err := openOne(path)
	if err != nil {
		return nil, err
	}
	if f.split.count > 1 {
		return f.join()
	}
	return f, nil
}

func openOne(path string) (*File, error) {
	m, err := mapped.Open(path)
	if err != nil {
		return nil, err
	}
	f := &File{path: path, mapping: m, data: m.Data}
	if err := f.parse(); err != nil {
		m.Close()
		return nil, err
	}
	return f, nil
}

// Close unmaps the file, or all parts of it. The data of its tensors must not be used
// afterwards.
func (f *File) Close() error {
	if f.mapping == nil {
		return nil
	}
	err := f.mapping.Close()
	for _, other := range f.others {
		err = errors.Join(err, other.Close())
	}
	return err
}

// Path returns the path that Open was given; of several parts, that of the first.
func (f *File) Path() string { return f.path }

// Size returns the bytes of the file, or of all parts of it.
func (f *File) Size() int64 {
	size := int64(len(f.data))
	for _, other := range f.others {
		size += other.Size()
	}
	return size
}

// Tensors returns all tensors in file order. Their data aliases the map.
func (f *File) Tensors() []tensor.Matrix { return slices.Clone(f.tensors) }

// Tensor returns the tensor of that name: ggml's first dimension is Cols, the
// second Rows. Its data aliases the map.
func (f *File) Tensor(name string) (tensor.Matrix, error) {
	i, ok := f.index[name]
	if !ok {
		return tensor.Matrix{}, fmt.Errorf("%s: there is no tensor %q; %s", f.path, name, reconvert)
	}
	return f.tensors[i], nil
}

// What to do about a file, by the kind of its fault.
const (
	damaged   = "the file is damaged or was cut short: download it again"
	reconvert = "the file was made for another kind of model: convert it again with a current llama.cpp, or use another file"
)
