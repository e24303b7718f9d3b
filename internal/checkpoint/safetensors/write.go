package safetensors

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

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
		if n := t.Len() * t.Type.BlockBytes(); types[t.Type.String()] != t.Type || n != len(t.Data) {
			return fmt.Errorf("tensor %q: %d bytes are not %v of %s", t.Name, len(t.Data), t.Shape, t.Type)
		}
		if _, ok := header[t.Name]; ok {
			return fmt.Errorf("tensor %q is there twice", t.Name)
		}
		e := entry{Type: t.Type.String(), Shape: []int64{}, Offsets: [2]int64{at, at + int64(len(t.Data))}}
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
		b.Write(t.Data)
	}
	return b.Flush()
}
