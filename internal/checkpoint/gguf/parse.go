package gguf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/tensor"
)

const (
	magic            = "GGUF"
	alignmentKey     = "general.alignment"
	headerBytes      = 24 // magic, version, tensor count, key count
	defaultAlignment = 32
	maxName          = 1<<16 - 1 // bytes of a key or tensor name, as the format has it
	maxDims          = 4         // ggml's

	// The least that one entry takes; a count that needs more than the bytes
	// left is false, and refused before anything is allocated for it.
	minKeyBytes    = 8 + 1 + 4 + 1         // name, type, value
	minTensorBytes = 8 + 1 + 4 + 8 + 4 + 8 // name, dimensions, one of them, type, offset
)

// parse checks f.data whole and fills the rest of f.
func (f *File) parse() error {
	c, tensorCount, err := f.parseMetadata()
	if err != nil {
		return err
	}
	if err := f.parseSplit(); err != nil {
		return err
	}
	return f.parseTensors(c, tensorCount)
}

// parseMetadata reads what stands in front of the list of tensors. It returns a cursor
// there, and how many tensors the list is said to have.
func (f *File) parseMetadata() (*cursor, uint64, error) {
	c := &cursor{path: f.path, data: f.data}
	c.place = "header"
	if len(f.data) < headerBytes {
		return nil, 0, fmt.Errorf("%s: %d bytes are too few for a GGUF file; %s", f.path, len(f.data), damaged)
	}
	if string(c.take(4)) != magic {
		return nil, 0, fmt.Errorf("%s does not begin with %q: it is not a GGUF file; name a .gguf file", f.path, magic)
	}
	switch version := c.uint32(); {
	case version == 2 || version == 3:
	case version&0xffff == 0:
		return nil, 0, fmt.Errorf("%s is a big-endian GGUF file, which is not supported; convert the model on a little-endian machine", f.path)
	default:
		return nil, 0, fmt.Errorf("%s: GGUF version %d is not supported (2 and 3 are); %s", f.path, version, reconvert)
	}
	tensorCount, keyCount := c.uint64(), c.uint64()
	return c, tensorCount, f.parseKeys(c, keyCount)
}

func (f *File) parseKeys(c *cursor, count uint64) error {
	if most := uint64(c.left() / minKeyBytes); count > most {
		return c.failf("it announces %d keys where the file has room for %d", count, most)
	}
	f.values = map[string]value{}
	for i := range count {
		c.place = fmt.Sprintf("key %d of %d", i+1, count)
		key := c.name()
		c.place = fmt.Sprintf("key %q", key)
		v := c.value()
		if c.err != nil {
			return c.err
		}
		if f.Has(key) {
			return c.failf("it occurs twice")
		}
		f.keys = append(f.keys, key)
		f.values[key] = v
	}
	return nil
}

// ggmlTypes are the names of ggml's types (ggml.h) by number.
var ggmlTypes = [...]string{
	"F32", "F16", "Q4_0", "Q4_1", "Q4_2", "Q4_3", "Q5_0", "Q5_1", "Q8_0", "Q8_1",
	"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q8_K",
	"IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS",
	"I8", "I16", "I32", "I64", "F64", "IQ1_M", "BF16", "Q4_0_4_4", "Q4_0_4_8", "Q4_0_8_8",
	"TQ1_0", "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4", "NVFP4", "Q1_0",
}

func (f *File) parseTensors(c *cursor, count uint64) error {
	c.place = "tensor list"
	if most := uint64(c.left() / minTensorBytes); count > most {
		return c.failf("it announces %d tensors where the file has room for %d", count, most)
	}
	alignment := uint64(defaultAlignment)
	if f.Has(alignmentKey) {
		var err error
		if alignment, err = f.Uint(alignmentKey); err != nil {
			return err
		}
		if alignment < 8 || alignment&(alignment-1) != 0 || alignment > math.MaxUint32 {
			return fmt.Errorf("%s: key %q is %d, not a power of two from 8 on; %s", f.path, alignmentKey, alignment, damaged)
		}
	}

	f.index = map[string]int{}
	var offsets []uint64 // from the start of the data
	for i := range count {
		c.place = fmt.Sprintf("tensor %d of %d", i+1, count)
		name := c.name()
		c.place = fmt.Sprintf("tensor %q", name)
		m, err := c.shape(name)
		if err != nil {
			return err
		}
		offset := c.uint64()
		if c.err != nil {
			return c.err
		}
		if offset%alignment != 0 {
			return c.failf("its offset %d is not a multiple of the alignment %d", offset, alignment)
		}
		if _, twice := f.index[name]; twice {
			return c.failf("it occurs twice")
		}
		f.index[name] = len(f.tensors)
		f.tensors = append(f.tensors, m)
		offsets = append(offsets, offset)
	}

	start := (uint64(c.off) + alignment - 1) &^ (alignment - 1)
	return f.place(c, start, offsets)
}

// place gives every tensor its bytes: inside the file, and each its own.
func (f *File) place(c *cursor, start uint64, offsets []uint64) error {
	size := uint64(len(f.data))
	order := make([]int, len(offsets))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case offsets[a] < offsets[b]:
			return -1
		case offsets[a] > offsets[b]:
			return 1
		}
		return a - b
	})
	end, before := uint64(0), ""
	for _, i := range order {
		m := &f.tensors[i]
		c.place = fmt.Sprintf("tensor %q", m.Name)
		n := uint64(m.Rows) * uint64(m.RowBytes()) // shape saw that it is below 2^62
		offset := offsets[i]
		if start > size || offset > size-start || n > size-start-offset {
			return c.failf("its %d bytes at offset %d of the data end beyond the file's %d", n, offset, size)
		}
		if offset < end {
			return c.failf("its data overlaps that of tensor %q", before)
		}
		end, before = offset+n, m.Name
		at := start + offset
		m.Data = f.data[at : at+n : at+n]
	}
	return nil
}

// cursor reads the file from front to back. After the first failure, which it
// keeps, it returns zeros, so that callers check err once an entry.
type cursor struct {
	path  string
	place string // what is being read, for errors
	data  []byte
	off   int
	err   error
}

func (c *cursor) left() int { return len(c.data) - c.off }

// failf keeps the first failure and returns it.
func (c *cursor) failf(format string, args ...any) error {
	if c.err == nil {
		c.err = fmt.Errorf("%s: %s (byte %d): %s; %s", c.path, c.place, c.off, fmt.Sprintf(format, args...), damaged)
	}
	return c.err
}

// take returns the next n bytes, or nil.
func (c *cursor) take(n uint64) []byte {
	if c.err != nil {
		return nil
	}
	if n > uint64(c.left()) {
		c.failf("%d bytes are needed where %d are left", n, c.left())
		return nil
	}
	b := c.data[c.off : c.off+int(n)]
	c.off += int(n)
	return b
}

func (c *cursor) uint32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// name reads the name of a key or tensor.
func (c *cursor) name() string {
	n := c.uint64()
	if c.err == nil && (n == 0 || n > maxName) {
		c.failf("its name is %d bytes long, not 1 to %d", n, maxName)
	}
	name := string(c.take(n))
	if c.err == nil && (strings.ToValidUTF8(name, "") != name || strings.ContainsRune(name, 0)) {
		c.failf("its name %q is not text", name)
	}
	return name
}

// value reads a metadata value and checks every length inside it.
func (c *cursor) value() value {
	typ := valueType(c.uint32())
	if typ != typeArray {
		return c.elements(typ, 1, false)
	}
	typ = valueType(c.uint32())
	if typ == typeArray {
		c.failf("arrays of arrays are not supported")
		return value{}
	}
	return c.elements(typ, c.uint64(), true)
}

func (c *cursor) elements(typ valueType, n uint64, array bool) value {
	start := c.off
	if c.err == nil && n > uint64(c.left()) { // every element takes a byte at least
		c.failf("it announces %d elements where %d bytes are left", n, c.left())
	}
	if c.err != nil {
		return value{}
	}
	switch size, ok := valueBytes[typ]; {
	case ok:
		raw := c.take(n * uint64(size))
		if typ == typeBool {
			if i := bytes.IndexFunc(raw, func(r rune) bool { return r > 1 }); i >= 0 {
				c.failf("byte %d is no truth value", raw[i])
			}
		}
	case typ == typeString:
		for i := uint64(0); i < n && c.err == nil; i++ {
			c.take(c.uint64())
		}
	default:
		c.failf("values of type %d are not known", typ)
	}
	if c.err != nil {
		return value{}
	}
	return value{typ: typ, array: array, n: int(n), raw: c.data[start:c.off:c.off]}
}

// shape reads dimensions and type of a tensor. The product of what it accepts
// stays below 2^62, rows and columns fit in int.
func (c *cursor) shape(name string) (tensor.Matrix, error) {
	dims := c.uint32()
	if c.err == nil && (dims == 0 || dims > maxDims) {
		c.failf("it has %d dimensions, not 1 to %d", dims, maxDims)
	}
	if c.err != nil {
		return tensor.Matrix{}, c.err
	}
	ne := [maxDims]uint64{1, 1, 1, 1}
	for i := range ne[:dims] {
		ne[i] = c.uint64()
	}
	number := c.uint32()
	if c.err != nil {
		return tensor.Matrix{}, c.err
	}
	for _, n := range ne {
		if n == 0 || n > math.MaxInt32 {
			return tensor.Matrix{}, c.failf("its dimensions %d are not all from 1 to 2^31-1", ne[:dims])
		}
	}
	if ne[2] != 1 || ne[3] != 1 {
		return tensor.Matrix{}, fmt.Errorf("%s: %s has the dimensions %d; only vectors and matrices are supported; %s", c.path, c.place, ne[:dims], reconvert)
	}
	if number >= uint32(len(ggmlTypes)) {
		return tensor.Matrix{}, c.failf("its type %d is not known", number)
	}
	t := tensor.TypeNamed(ggmlTypes[number])
	if t == tensor.Invalid {
		return tensor.Matrix{}, fmt.Errorf("%s: %s is stored as %s, which is not supported; use a file whose tensors are of the types %s",
			c.path, c.place, ggmlTypes[number], tensor.TypeNames())
	}
	if block := uint64(t.BlockWeights()); ne[0]%block != 0 {
		return tensor.Matrix{}, c.failf("its rows of %d weights are not whole blocks of %s (%d)", ne[0], t, block)
	}
	return tensor.Matrix{Name: name, Type: t, Rows: int(ne[1]), Cols: int(ne[0])}, nil
}
