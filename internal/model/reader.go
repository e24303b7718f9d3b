package model

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// reader reads typed values and remembers the first error.
type reader struct {
	f   source
	err error
}

func (r *reader) has(key string) bool {
	if r.f.Has(key) {
		return true
	}
	_, err := r.f.Tensor(key)
	return err == nil
}

// read returns a value; with an error the zero one, and the first error is kept.
func read[T any](r *reader, value T, err error) T {
	if err == nil {
		return value
	}
	if r.err == nil {
		r.err = err
	}
	var none T
	return none
}

func (r *reader) string(key string, required bool) string {
	if !required && !r.f.Has(key) {
		return ""
	}
	v, err := r.f.String(key)
	return read(r, v, err)
}

func (r *reader) strings(key string) []string {
	v, err := r.f.Strings(key)
	return read(r, v, err)
}

// count reads a whole number from 1 to limit; with a fallback above 0 the key may
// be absent.
func (r *reader) count(key string, limit uint64, fallback int) int {
	if fallback > 0 && !r.f.Has(key) {
		return fallback
	}
	v, err := r.f.Uint(key)
	if err == nil && (v < 1 || v > limit) {
		err = fmt.Errorf("%s: key %q is %d, not from 1 to %d; the file is damaged or not a language model", r.f.Path(), key, v, limit)
	}
	return int(read(r, v, err))
}

// uniform reads a count that files give for all layers as one number, or as a list with
// one for each, which must then be equal.
func (r *reader) uniform(key string, limit uint64, fallback, layers int) int {
	each, err := r.f.Ints(key)
	if err != nil || r.err != nil {
		return r.count(key, limit, fallback)
	}
	if len(each) != layers {
		r.err = fmt.Errorf("%s: key %q has %d numbers for %d layers; the file is damaged", r.f.Path(), key, len(each), layers)
		return 0
	}
	for i, n := range each {
		switch {
		case n < 1 || uint64(n) > limit:
			r.err = fmt.Errorf("%s: key %q is %d in layer %d, not from 1 to %d; the file is damaged or not a language model", r.f.Path(), key, n, i, limit)
			return 0
		case n != each[0]:
			r.err = fmt.Errorf("%s: key %q is %d in layer 0 and %d in layer %d: layers of different shapes are not supported", r.f.Path(), key, each[0], n, i)
			return 0
		}
	}
	return int(each[0])
}

// float reads a number; with a fallback above 0 the key may be absent.
func (r *reader) float(key string, fallback float64) float64 {
	if fallback > 0 && !r.f.Has(key) {
		return fallback
	}
	v, err := r.f.Float(key)
	return read(r, v, err)
}

// id reads a token id; -1 where the key is absent or says so. What 32 bits do not hold
// becomes an id that no vocabulary has.
func (r *reader) id(key string) int32 {
	if !r.f.Has(key) {
		return -1
	}
	v, err := r.f.Float(key) // of any integer type
	switch {
	case v == -1 || v == math.MaxUint32: // -1, written as what it is not
		return -1
	case v < 0 || v > math.MaxInt32 || v != math.Trunc(v):
		return math.MaxInt32
	}
	return int32(read(r, v, err))
}

func (r *reader) int32s(key string) []int32 {
	v, err := r.f.Ints(key)
	out := make([]int32, len(v))
	for i, x := range v {
		if x < math.MinInt32 || x > math.MaxInt32 {
			err = fmt.Errorf("%s: key %q: element %d is %d, which does not fit 32 bits", r.f.Path(), key, i, x)
			break
		}
		out[i] = int32(x)
	}
	return read(r, out, err)
}

func (r *reader) floats(key string) []float64 {
	v, err := r.f.Floats(key)
	return read(r, v, err)
}

// flag reads a yes or no; nil where the key is absent.
func (r *reader) flag(key string) *bool {
	if !r.has(key) {
		return nil
	}
	v, err := r.f.Bool(key)
	v = read(r, v, err)
	return &v
}

// tensor returns a matrix of the given shape; rows 0 stands for any number.
func (r *reader) tensor(name string, rows, cols int) tensor.Matrix {
	m, err := r.f.Tensor(name)
	if err == nil && (rows > 0 && m.Rows != rows || m.Cols != cols) {
		err = fmt.Errorf("%s: tensor %q is [%d, %d] and the metadata ask for [%d, %d]", r.f.Path(), name, m.Rows, m.Cols, rows, cols)
	}
	return read(r, m, err)
}

// part returns what a Spec describes.
func (r *reader) part(s Spec) tensor.Matrix {
	rows, cols := s.Stored()
	m := r.tensor(s.GGUF, rows, cols)
	if r.err == nil && s.Of > 0 && s.Rows == 1 && m.Type.RowBytes(1) == 0 {
		r.err = fmt.Errorf("%s: tensor %q is %s, and a vector of several parts must be stored number by number", r.f.Path(), s.GGUF, m.Type)
	}
	if r.err != nil {
		return tensor.Matrix{}
	}
	return s.Part(m)
}

// factors reads a vector of n positive f32 numbers.
func (r *reader) factors(name string, n int) []float32 {
	m := r.tensor(name, 1, n)
	if r.err == nil && m.Type != tensor.F32 {
		r.err = fmt.Errorf("%s: tensor %q is %s, not F32", r.f.Path(), name, m.Type)
	}
	if r.err != nil {
		return nil
	}
	out := make([]float32, n)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(m.Data[i*4:]))
		if !(out[i] > 0) || math.IsInf(float64(out[i]), 0) {
			r.err = fmt.Errorf("%s: tensor %q: factor %d is %v, not a positive number", r.f.Path(), name, i, out[i])
		}
	}
	return out
}
