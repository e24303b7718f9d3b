package gguf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/flashback-lm/flashback/internal/atomicfile"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// Writer gathers the metadata and tensors of a GGUF file (version 3) and writes
// it. The zero value is ready to use.
type Writer struct {
	keys    []string
	values  map[string]any
	tensors []source
}

// source is a tensor without its data, and what writes them.
type source struct {
	tensor.Matrix
	write func(io.Writer) error
}

// Set sets a metadata value: a uint8 … uint64, int8 … int64, float32, float64,
// bool, string, or a slice of one of these. The file keeps the order in which keys
// were first set. Other types make the writing fail. The alignment of a file that
// values are copied from is ignored: the Writer has its own.
func (w *Writer) Set(key string, v any) {
	if key == alignmentKey {
		return
	}
	if w.values == nil {
		w.values = map[string]any{}
	}
	if _, ok := w.values[key]; !ok {
		w.keys = append(w.keys, key)
	}
	w.values[key] = v
}

// Add appends a tensor. Its data is read when the file is written.
func (w *Writer) Add(m tensor.Matrix) {
	w.AddFunc(m, func(out io.Writer) error {
		_, err := out.Write(m.Data)
		return err
	})
}

// AddFunc appends a tensor like m, whose data write puts into out when the file is
// written: then the tensors need never be in memory together, nor any of them whole.
// The number of bytes must be what m's type and shape take.
func (w *Writer) AddFunc(m tensor.Matrix, write func(out io.Writer) error) {
	w.tensors = append(w.tensors, source{m, write})
}

// WriteFile writes the file whole or not at all.
func (w *Writer) WriteFile(path string) error {
	if err := atomicfile.Write(path, w.Encode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Encode writes the file to out.
func (w *Writer) Encode(out io.Writer) error {
	head := append([]byte(magic), 3, 0, 0, 0)
	head = binary.LittleEndian.AppendUint64(head, uint64(len(w.tensors)))
	head = binary.LittleEndian.AppendUint64(head, uint64(len(w.keys)))
	var err error
	for _, key := range w.keys {
		if head, err = appendValue(appendString(head, key), w.values[key]); err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
	}
	pad := func(n int) int { return -n & (defaultAlignment - 1) }
	offset := 0
	for _, m := range w.tensors {
		number := slices.Index(ggmlTypes[:], m.Type.String())
		if m.Type == tensor.Invalid || number < 0 {
			return fmt.Errorf("tensor %q: type %s cannot be written", m.Name, m.Type)
		}
		if m.Cols%m.Type.BlockWeights() != 0 {
			return fmt.Errorf("tensor %q: rows of %d are no whole blocks of %s", m.Name, m.Cols, m.Type)
		}
		head = appendString(head, m.Name)
		if m.Rows == 1 {
			head = binary.LittleEndian.AppendUint32(head, 1)
			head = binary.LittleEndian.AppendUint64(head, uint64(m.Cols))
		} else {
			head = binary.LittleEndian.AppendUint32(head, 2)
			head = binary.LittleEndian.AppendUint64(head, uint64(m.Cols))
			head = binary.LittleEndian.AppendUint64(head, uint64(m.Rows))
		}
		head = binary.LittleEndian.AppendUint32(head, uint32(number))
		head = binary.LittleEndian.AppendUint64(head, uint64(offset))
		size := m.Rows * m.RowBytes()
		offset += size + pad(size)
	}
	b := bufio.NewWriter(out) // keeps the first error for Flush
	b.Write(head)
	b.Write(make([]byte, pad(len(head))))
	for _, m := range w.tensors {
		size := m.Rows * m.RowBytes()
		if err := atomicfile.Exactly(b, size, m.write); err != nil {
			return fmt.Errorf("tensor %q, [%d, %d] of %s: %w", m.Name, m.Rows, m.Cols, m.Type, err)
		}
		b.Write(make([]byte, pad(size)))
	}
	return b.Flush()
}

func appendString(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}

// appendValue appends type and value.
func appendValue(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return appendString(appendTypes(b, typeString, false, 0), v), nil
	case []string:
		b = appendTypes(b, typeString, true, len(v))
		for _, s := range v {
			b = appendString(b, s)
		}
		return b, nil
	case uint8:
		return appendFixed(b, typeUint8, false, 0, v)
	case int8:
		return appendFixed(b, typeInt8, false, 0, v)
	case uint16:
		return appendFixed(b, typeUint16, false, 0, v)
	case int16:
		return appendFixed(b, typeInt16, false, 0, v)
	case uint32:
		return appendFixed(b, typeUint32, false, 0, v)
	case int32:
		return appendFixed(b, typeInt32, false, 0, v)
	case float32:
		return appendFixed(b, typeFloat32, false, 0, v)
	case bool:
		return appendFixed(b, typeBool, false, 0, v)
	case uint64:
		return appendFixed(b, typeUint64, false, 0, v)
	case int64:
		return appendFixed(b, typeInt64, false, 0, v)
	case float64:
		return appendFixed(b, typeFloat64, false, 0, v)
	case []uint8:
		return appendFixed(b, typeUint8, true, len(v), v)
	case []int8:
		return appendFixed(b, typeInt8, true, len(v), v)
	case []uint16:
		return appendFixed(b, typeUint16, true, len(v), v)
	case []int16:
		return appendFixed(b, typeInt16, true, len(v), v)
	case []uint32:
		return appendFixed(b, typeUint32, true, len(v), v)
	case []int32:
		return appendFixed(b, typeInt32, true, len(v), v)
	case []float32:
		return appendFixed(b, typeFloat32, true, len(v), v)
	case []bool:
		return appendFixed(b, typeBool, true, len(v), v)
	case []uint64:
		return appendFixed(b, typeUint64, true, len(v), v)
	case []int64:
		return appendFixed(b, typeInt64, true, len(v), v)
	case []float64:
		return appendFixed(b, typeFloat64, true, len(v), v)
	}
	return nil, fmt.Errorf("GGUF has no %T", v)
}

func appendFixed(b []byte, typ valueType, array bool, n int, v any) ([]byte, error) {
	return binary.Append(appendTypes(b, typ, array, n), binary.LittleEndian, v)
}

func appendTypes(b []byte, typ valueType, array bool, n int) []byte {
	if !array {
		return binary.LittleEndian.AppendUint32(b, uint32(typ))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(typeArray))
	b = binary.LittleEndian.AppendUint32(b, uint32(typ))
	return binary.LittleEndian.AppendUint64(b, uint64(n))
}
