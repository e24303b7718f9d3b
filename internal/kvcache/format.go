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
