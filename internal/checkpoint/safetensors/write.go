package safetensors

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"github.com/flashback-lm/flashback/internal/atomicfile"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// F32 returns a tensor of f32 numbers.
func F32(name string, values []float32, shape ...int) Tensor {
	data := make([]byte, 0, 4*len(values))
	data, _ = binary.Append(data, binary.LittleEndian, values) // a slice of fixed size never fails
	return Tensor{Name: name, Type: tensor.F32, Shape: shape, Data: data}
}

// Encode writes the tensors, in their order, with the metadata to out.
func Encode(out io.Writer, tensors []Tensor, metadata map[string]string) error {
	header := map[string]any{}
	if len(metadata) > 0 {
		header["__metadata__"] = metadata
	}
	at := int64(0)
	for _, t := range tensors {
		if types[t.Type.String()] != t.Type {
			return fmt.Errorf("tensor %q: type %s cannot be written", t.Name, t.Type)
		}
		if _, ok := header[t.Name]; ok {
			return fmt.Errorf("tensor %q is there twice", t.Name)
		}
		e := entry{Type: t.Type.String(), Shape: []int64{}, Offsets: [2]int64{at, at + int64(t.bytes())}}
		for _, d := range t.Shape {
			e.Shape = append(e.Shape, int64(d))
		}
		header[t.Name] = e
		at = e.Offsets[1]
	}
	head, err := json.Marshal(header)
	if err != nil {
		return err
	}
	for len(head)%8 != 0 {
		head = append(head, ' ') // so that the data are aligned
	}
	b := bufio.NewWriter(out) // keeps the first error for Flush
	b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(head))))
	b.Write(head)
	for _, t := range tensors {
		write := t.Write
		if write == nil {
			write = func(out io.Writer) error {
				_, err := out.Write(t.Data)
				return err
			}
		}
		if err := atomicfile.Exactly(b, t.bytes(), write); err != nil {
			return fmt.Errorf("tensor %q, %v of %s: %w", t.Name, t.Shape, t.Type, err)
		}
	}
	return b.Flush()
}

// bytes returns how many the data take.
func (t Tensor) bytes() int { return t.Len() * t.Type.BlockBytes() }
