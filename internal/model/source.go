package model

import "github.com/flashback-lm/flashback/internal/tensor"

// source is a file or directory that a model is read from: metadata by key and tensors
// by GGUF's names. Errors name the file, the key or tensor, and the reason.
type source interface {
	Path() string

	Has(key string) bool
	String(key string) (string, error)
	Strings(key string) ([]string, error)
	Bool(key string) (bool, error)
	Uint(key string) (uint64, error)
	Bools(key string) ([]bool, error)
	Ints(key string) ([]int64, error)
	Float(key string) (float64, error)
	Floats(key string) ([]float64, error)
	Tensor(name string) (tensor.Matrix, error)
	Tensors() []tensor.Matrix
}
