package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// valueType is the type of a metadata value as the file encodes it.
type valueType uint32

const (
	typeUint8 valueType = iota
	typeInt8
	typeUint16
	typeInt16
	typeUint32
	typeInt32
	typeFloat32
	typeBool
	typeString
	typeArray
	typeUint64
	typeInt64
	typeFloat64
)

// valueBytes gives the size of the types that have a fixed one.
var valueBytes = map[valueType]int{
	typeUint8: 1, typeInt8: 1, typeUint16: 2, typeInt16: 2, typeUint32: 4, typeInt32: 4,
	typeFloat32: 4, typeBool: 1, typeUint64: 8, typeInt64: 8, typeFloat64: 8,
}

// value is a checked metadata value, still encoded.
type value struct {
	typ   valueType
	array bool
	n     int    // elements of an array
	raw   []byte // aliases the map
}

// Keys returns the metadata keys in file order.
func (f *File) Keys() []string { return slices.Clone(f.keys) }

// Has tells whether the file has that key.
func (f *File) Has(key string) bool {
	_, ok := f.values[key]
	return ok
}

// Value returns the value of key as the Go type of its own width: uint8 … uint64,
// int8 … int64, float32, float64, bool, string, or a slice of one of these. It
// shares no memory with the file. Writer.Set takes it back unchanged.
func (f *File) Value(key string) (any, error) {
	v, ok := f.values[key]
	if !ok {
		return nil, fmt.Errorf("%s: there is no key %q; %s", f.path, key, reconvert)
	}
	return v.decode(), nil
}

func (v value) decode() any {
	switch v.typ {
	case typeUint8:
		return fixed[uint8](v)
	case typeInt8:
		return fixed[int8](v)
	case typeUint16:
		return fixed[uint16](v)
	case typeInt16:
		return fixed[int16](v)
	case typeUint32:
		return fixed[uint32](v)
	case typeInt32:
		return fixed[int32](v)
	case typeFloat32:
		return fixed[float32](v)
	case typeBool:
		return fixed[bool](v)
	case typeUint64:
		return fixed[uint64](v)
	case typeInt64:
		return fixed[int64](v)
	case typeFloat64:
		return fixed[float64](v)
	}
	if !v.array {
		return string(v.raw[8:])
	}
	all := make([]string, v.n)
	raw := v.raw
	for i := range all {
		n := binary.LittleEndian.Uint64(raw)
		all[i] = string(raw[8 : 8+n])
		raw = raw[8+n:]
	}
	return all
}

func fixed[T any](v value) any {
	if v.array {
		all := make([]T, v.n)
		binary.Decode(v.raw, binary.LittleEndian, all) // sizes were checked by parse
		return all
	}
	var one T
	binary.Decode(v.raw, binary.LittleEndian, &one)
	return one
}

// String returns a string value.
func (f *File) String(key string) (string, error) {
	return get(f, key, "a string", func(v any) (s string, ok bool) { s, ok = v.(string); return })
}

// Bool returns a truth value.
func (f *File) Bool(key string) (bool, error) {
	return get(f, key, "true or false", func(v any) (b, ok bool) { b, ok = v.(bool); return })
}

// Uint returns an integer of any width that is not negative.
func (f *File) Uint(key string) (uint64, error) {
	return get(f, key, "an integer ≥ 0", func(v any) (uint64, bool) {
		if u, ok := v.(uint64); ok {
			return u, true
		}
		i, ok := integer(v)
		return uint64(i), ok && i >= 0
	})
}

// Float returns a number of any type.
func (f *File) Float(key string) (float64, error) {
	return get(f, key, "a number", func(v any) (float64, bool) {
		switch v := v.(type) {
		case float32:
			return float64(v), true
		case float64:
			return v, true
		}
		i, ok := integer(v)
		return float64(i), ok
	})
}

// Strings returns an array of strings.
func (f *File) Strings(key string) ([]string, error) {
	return get(f, key, "an array of strings", func(v any) (s []string, ok bool) { s, ok = v.([]string); return })
}

// Ints returns an array of integers of any width.
func (f *File) Ints(key string) ([]int64, error) {
	return get(f, key, "an array of integers", func(v any) ([]int64, bool) {
		switch v := v.(type) {
		case []uint8:
			return widen[int64](v), true
		case []int8:
			return widen[int64](v), true
		case []uint16:
			return widen[int64](v), true
		case []int16:
			return widen[int64](v), true
		case []uint32:
			return widen[int64](v), true
		case []int32:
			return widen[int64](v), true
		case []int64:
			return v, true
		case []uint64:
			for _, x := range v {
				if x > math.MaxInt64 {
					return nil, false
				}
			}
			return widen[int64](v), true
		}
		return nil, false
	})
}

// Bools returns an array of booleans.
func (f *File) Bools(key string) ([]bool, error) {
	return get(f, key, "an array of booleans", func(v any) ([]bool, bool) { b, ok := v.([]bool); return b, ok })
}

// Floats returns an array of floating-point numbers.
func (f *File) Floats(key string) ([]float64, error) {
	return get(f, key, "an array of numbers", func(v any) ([]float64, bool) {
		switch v := v.(type) {
		case []float32:
			return widen[float64](v), true
		case []float64:
			return v, true
		}
		return nil, false
	})
}

// get reads key and converts it; want names the types that as accepts.
func get[T any](f *File, key, want string, as func(any) (T, bool)) (T, error) {
	v, err := f.Value(key)
	if err != nil {
		var zero T
		return zero, err
	}
	t, ok := as(v)
	if !ok {
		shown := fmt.Sprintf("%T", v)
		if !f.values[key].array && f.values[key].typ != typeString {
			shown += fmt.Sprintf(" %v", v)
		}
		return t, fmt.Errorf("%s: key %q is %s, not %s; %s", f.path, key, shown, want, reconvert)
	}
	return t, nil
}

// integer returns any integer that int64 holds.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case uint8:
		return int64(v), true
	case int8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case int16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case uint64:
		return int64(v), v <= math.MaxInt64
	}
	return 0, false
}

type number interface {
	~uint8 | ~int8 | ~uint16 | ~int16 | ~uint32 | ~int32 | ~uint64 | ~int64 | ~float32 | ~float64
}

func widen[W, N number](in []N) []W {
	out := make([]W, len(in))
	for i, v := range in {
		out[i] = W(v)
	}
	return out
}
