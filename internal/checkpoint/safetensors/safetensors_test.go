package safetensors

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// small is a file with one tensor of each type.
func small(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	err := Encode(&b, []Tensor{
		F32("b.single", []float32{1, -2.5, 3e-30, 4, 5, 6}, 2, 3),
		// 1, -2, the least number of half precision, infinity
		{Name: "a.half", Type: tensor.F16, Shape: []int{4}, Data: []byte{0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00, 0x00, 0x7c}},
		{Name: "brain", Type: tensor.BF16, Shape: []int{1, 1}, Data: []byte{0x80, 0x3f}},
		{Name: "empty", Type: tensor.F32, Shape: []int{0, 7}},
	}, map[string]string{"format": "pt"})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	if err := os.WriteFile(path, small(t), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := map[string][]float32{
		"b.single": {1, -2.5, 3e-30, 4, 5, 6},
		"a.half":   {1, -2, 1.0 / (1 << 24), float32(math.Inf(1))},
		"brain":    {1},
		"empty":    {},
	}
	if len(f.Tensors) != len(want) || f.Metadata["format"] != "pt" {
		t.Fatalf("read %d tensors and %v", len(f.Tensors), f.Metadata)
	}
	for _, tensor := range f.Tensors {
		if got := tensor.Floats(); !slices.Equal(got, want[tensor.Name]) {
			t.Errorf("%s: %v, want %v", tensor.Name, got, want[tensor.Name])
		}
	}
	if f.Tensors[0].Name != "b.single" || !slices.Equal(f.Tensors[0].Shape, []int{2, 3}) {
		t.Errorf("the first tensor is %s %v", f.Tensors[0].Name, f.Tensors[0].Shape)
	}
}

// file is a header with its length, and some bytes behind it.
func file(header string, behind int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, behind)...)
}

func TestHostile(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"short":           {[]byte{1, 2}, "2 bytes"},
		"long header":     {binary.LittleEndian.AppendUint64(nil, 1<<63), "header of 9223372036854775808"},
		"no JSON":         {file("{", 0), "header"},
		"type":            {file(`{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}`, 8), "I64"},
		"beyond the end":  {file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 4), "bytes 0 to 8"},
		"negative":        {file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4), "does not fit"},
		"overflow":        {file(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}`, 4), "does not fit"},
		"wrong shape":     {file(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,16]}}`, 16), "does not fit"},
		"gap":             {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "begins at byte 4"},
		"overlap":         {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4), "begins at byte 0"},
		"bytes left over": {file(`{}`, 4), "4 follow"},
		"dimensions":      {file(`{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}`, 4), "9 dimensions"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad.safetensors")
			if err := os.WriteFile(path, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(path)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want an error with %q and the path", err, c.want)
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	one := F32("a", []float32{1}, 1)
	for name, tensors := range map[string][]Tensor{
		"twice":     {one, one},
		"shape":     {F32("a", []float32{1}, 2)},
		"quantised": {{Name: "a", Type: tensor.Q8_0, Shape: []int{1}, Data: make([]byte, 34)}},
	} {
		if err := Encode(&bytes.Buffer{}, tensors, nil); err == nil {
			t.Errorf("%s: written", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(small(f))
	f.Add(file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4))
	f.Add(file(`{"__metadata__":{"a":1}}`, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, metadata, err := parse(data)
		if err != nil {
			return
		}
		total := 0
		for _, tensor := range tensors {
			total += len(tensor.Data)
			tensor.Floats()
		}
		if total > len(data) {
			t.Fatalf("%d bytes of tensors in a file of %d", total, len(data))
		}
		// What is read can be written and read again.
		var b bytes.Buffer
		if err := Encode(&b, tensors, metadata); err != nil {
			t.Fatal(err)
		}
		if again, _, err := parse(b.Bytes()); err != nil || len(again) != len(tensors) {
			t.Fatalf("read again: %d tensors, %v", len(again), err)
		}
	})
}
