package kvcache

import "fmt"

// Format says how keys and values are stored.
type Format uint8

// The formats.
const (
	F32 Format = iota
	F16
	// Q8 is 8 bits an element and, for each token, a scale in f32 for each 32
	// elements of a head: q·scale.
	Q8
	// I16 is 16 bits an element and, for each token and head, a scale in f32: c·scale
	// with |c| ≤ MostI16. Products of codes are sums of integers.
	I16
)

// MostI16 is the largest magnitude of a code in I16: sums over the 32 tokens of a
// page, with weights of 14 bits, fit 32.
const MostI16 = 4095

// ScaleElements is how many elements share a scale in Q8.
const ScaleElements = 32

var formatNames = [...]string{F32: "f32", F16: "f16", Q8: "q8", I16: "i16"}

// String returns the name that ParseFormat reads.
func (f Format) String() string { return formatNames[f] }

// ParseFormat returns the format of that name: f32, f16, i16 or q8.
func ParseFormat(name string) (Format, error) {
	for f, n := range formatNames {
		if n == name {
			return Format(f), nil
		}
	}
	return 0, fmt.Errorf("unknown storage of keys and values %q: use f32, f16, i16 or q8", name)
}

// Shape is the size of one token's keys and values.
type Shape struct {
	Layers, KVHeads, HeadDim int
	Format                   Format
}

// TokenBytes returns the bytes of one token's keys and values.
func (s Shape) TokenBytes() int {
	heads := s.Layers * s.KVHeads * 2
	values := heads * s.HeadDim
	switch s.Format {
	case F16:
		return values * 2
	case Q8:
		return values + heads*s.Scales()*4
	case I16:
		return values*2 + heads*4
	}
	return values * 4
}

// Scales returns how many scales the key or the value of a token and head has in Q8.
func (s Shape) Scales() int { return (s.HeadDim + ScaleElements - 1) / ScaleElements }

// Pages returns how many pages a budget in bytes has room for.
func (s Shape) Pages(budget int64) (int, error) {
	pageBytes := int64(s.TokenBytes()) * PageTokens
	if pageBytes <= 0 {
		return 0, fmt.Errorf("KV cache: shape %+v has no size", s)
	}
	if budget < pageBytes {
		return 0, fmt.Errorf("KV cache: a budget of %d bytes holds no page of %d bytes (%d tokens); raise it", budget, pageBytes, PageTokens)
	}
	return int(budget / pageBytes), nil
}
