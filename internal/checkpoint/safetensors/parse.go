package safetensors

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// maxHeader bounds the JSON header, as the format's own library does.
const maxHeader = 100 << 20

// maxDimensions bounds a tensor's shape.
const maxDimensions = 8

// types are the element types by their names in headers.
var types = map[string]tensor.Type{"F32": tensor.F32, "F16": tensor.F16, "BF16": tensor.BF16}

// entry is a tensor in the header.
type entry struct {
	Type    string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"` // from the end of the header
}

// parse checks the header and returns the tensors in the order of their bytes.
func parse(data []byte) ([]Tensor, map[string]string, error) {
	if len(data) < 8 {
		return nil, nil, fmt.Errorf("%d bytes are too few for a header", len(data))
	}
	length, body := binary.LittleEndian.Uint64(data), data[8:]
	if length > uint64(len(body)) || length > maxHeader {
		return nil, nil, fmt.Errorf("a header of %d bytes is asked for, and %d follow", length, len(body))
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(body[:length], &header); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	body = body[length:]
	var metadata map[string]string
	var tensors []Tensor
	starts := map[string]int64{}
	for name, raw := range header {
		if name == "__metadata__" {
			if err := json.Unmarshal(raw, &metadata); err != nil {
				return nil, nil, fmt.Errorf("header: __metadata__: %w", err)
			}
			continue
		}
		var e entry
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		t, err := e.tensor(body)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		t.Name = name
		tensors = append(tensors, t)
		starts[name] = e.Offsets[0]
	}
	slices.SortFunc(tensors, func(a, b Tensor) int {
		// Tensors without an element share a place.
		return cmp.Or(cmp.Compare(starts[a.Name], starts[b.Name]), cmp.Compare(len(a.Data), len(b.Data)), cmp.Compare(a.Name, b.Name))
	})
	end := int64(0)
	for _, t := range tensors {
		if starts[t.Name] != end {
			return nil, nil, fmt.Errorf("tensor %q begins at byte %d, and the one before ends at %d", t.Name, starts[t.Name], end)
		}
		end += int64(len(t.Data))
	}
	if end != int64(len(body)) {
		return nil, nil, fmt.Errorf("the tensors take %d bytes, and %d follow the header", end, len(body))
	}
	return tensors, metadata, nil
}

// tensor checks an entry against the bytes behind the header.
func (e entry) tensor(body []byte) (Tensor, error) {
	typ, ok := types[e.Type]
	if !ok {
		return Tensor{}, fmt.Errorf("its type is %q: only F32, F16 and BF16 are read", e.Type)
	}
	if len(e.Shape) > maxDimensions {
		return Tensor{}, fmt.Errorf("it has %d dimensions: at most %d are read", len(e.Shape), maxDimensions)
	}
	from, to := e.Offsets[0], e.Offsets[1]
	if from < 0 || from > to || to > int64(len(body)) {
		return Tensor{}, fmt.Errorf("bytes %d to %d are not within the %d behind the header", from, to, len(body))
	}
	t := Tensor{Type: typ, Data: body[from:to:to]}
	// No dimension, and so no product, may pass what the bytes can hold.
	room := (to - from) / int64(typ.BlockBytes())
	elements := int64(1)
	for _, d := range e.Shape {
		if d < 0 || d > 0 && elements > room/d {
			return Tensor{}, fmt.Errorf("a shape of %v does not fit its %d bytes", e.Shape, to-from)
		}
		elements *= d
		t.Shape = append(t.Shape, int(d))
	}
	if elements*int64(typ.BlockBytes()) != to-from {
		return Tensor{}, fmt.Errorf("a shape of %v does not fit its %d bytes", e.Shape, to-from)
	}
	return t, nil
}
