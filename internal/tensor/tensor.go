// Package tensor names the storage types of weights and the geometry of their
// blocks. It is a leaf: checkpoint readers fill a Matrix, device kernels read it. What
// the bytes stand for is in quant below it.
package tensor

import (
	"fmt"
	"strings"
)

// Type is the storage type of a matrix. The values of the quantised types are
// block formats of ggml (ggml-common.h in llama.cpp).
type Type uint8

// The storage types that FlashBack reads.
const (
	Invalid Type = iota
	F32
	F16
	BF16
	Q4_0   // 32 weights: f16 d, 16 bytes of nibbles; w = d·(q-8)
	Q4_1   // 32 weights: f16 d, f16 m, 16 bytes of nibbles; w = d·q + m
	Q8_0   // 32 weights: f16 d, 32 int8; w = d·q
	Q4_K   // 256 weights: f16 d, f16 dmin, 12 bytes of 6-bit scales and mins, 128 bytes of nibbles
	Q6_K   // 256 weights: 128 bytes low nibbles, 64 bytes high pairs, 16 int8 scales, f16 d
	Q5_0   // 32 weights: f16 d, 32 fifth bits, 16 bytes of nibbles; w = d·(q-16)
	Q5_1   // 32 weights: f16 d, f16 m, 32 fifth bits, 16 bytes of nibbles; w = d·q + m
	Q2_K   // 256 weights: 16 bytes of 4-bit scales and mins, 64 bytes of pairs, f16 d, f16 dmin
	Q3_K   // 256 weights: 32 bytes of third bits, 64 bytes of pairs, 12 bytes of 6-bit scales, f16 d
	Q5_K   // 256 weights: as Q4_K, with 32 bytes of fifth bits in front of the nibbles
	IQ4_NL // 32 weights: f16 d, 16 bytes of nibbles that number 16 values
	IQ4_XS // 256 weights: f16 d, 6 bytes of 6-bit scales, 128 bytes of nibbles as in IQ4_NL
	MXFP4  // 32 weights: an exponent, 16 bytes of nibbles that are numbers of 4 bits
	Types  // how many there are
)

type geometry struct {
	name    string
	weights int // weights in a block
	bytes   int // bytes of a block
}

var geometries = [Types]geometry{
	Invalid: {"invalid", 1, 0},
	F32:     {"F32", 1, 4},
	F16:     {"F16", 1, 2},
	BF16:    {"BF16", 1, 2},
	Q4_0:    {"Q4_0", 32, 18},
	Q4_1:    {"Q4_1", 32, 20},
	Q8_0:    {"Q8_0", 32, 34},
	Q4_K:    {"Q4_K", 256, 144},
	Q6_K:    {"Q6_K", 256, 210},
	Q5_0:    {"Q5_0", 32, 22},
	Q5_1:    {"Q5_1", 32, 24},
	Q2_K:    {"Q2_K", 256, 84},
	Q3_K:    {"Q3_K", 256, 110},
	Q5_K:    {"Q5_K", 256, 176},
	IQ4_NL:  {"IQ4_NL", 32, 18},
	IQ4_XS:  {"IQ4_XS", 256, 136},
	MXFP4:   {"MXFP4", 32, 17},
}

// String returns ggml's name of the type.
func (t Type) String() string {
	if int(t) < len(geometries) {
		return geometries[t].name
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

// TypeNamed returns the type of ggml's name; Invalid where FlashBack reads no such type.
func TypeNamed(name string) Type {
	for t := Invalid + 1; t < Types; t++ {
		if geometries[t].name == name {
			return t
		}
	}
	return Invalid
}

// TypeNames lists the names of all types.
func TypeNames() string {
	var names []string
	for t := Invalid + 1; t < Types; t++ {
		names = append(names, t.String())
	}
	return strings.Join(names, ", ")
}

// BlockWeights returns how many weights one block holds.
func (t Type) BlockWeights() int { return geometries[t].weights }

// BlockBytes returns how many bytes one block takes.
func (t Type) BlockBytes() int { return geometries[t].bytes }

// RowBytes returns the bytes of a row of cols weights; cols must be a multiple
// of BlockWeights.
func (t Type) RowBytes(cols int) int {
	return cols / geometries[t].weights * geometries[t].bytes
}

// Matrix is a row-major matrix [Rows, Cols] of stored weights; a vector has one
// row. Data may alias a read-only memory map and must not be written.
type Matrix struct {
	Name string
	Type Type
	Rows int
	Cols int
	Data []byte // Rows × Type.RowBytes(Cols)
}

// RowBytes returns the bytes of one row.
func (m Matrix) RowBytes() int { return m.Type.RowBytes(m.Cols) }

// Row returns the stored bytes of row i.
func (m Matrix) Row(i int) []byte {
	n := m.RowBytes()
	return m.Data[i*n : (i+1)*n : (i+1)*n]
}
