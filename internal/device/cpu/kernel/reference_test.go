package kernel

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// TestDequantizeReference holds every set to the values of gguf-py, bit for bit
// (tools/reference/dequantize.py wrote them).
func TestDequantizeReference(t *testing.T) {
	raw, err := os.ReadFile("testdata/dequantize.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Type           string
		Stored, Values []byte
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != len(types) {
		t.Fatalf("%d cases, want one for each of %d types", len(cases), len(types))
	}
	for i, c := range cases {
		kind := types[i]
		if kind.String() != c.Type {
			t.Fatalf("case %d is %s, want %v", i, c.Type, kind)
		}
		want := make([]float32, len(c.Values)/4)
		for j := range want {
			want[j] = math.Float32frombits(binary.LittleEndian.Uint32(c.Values[4*j:]))
		}
		for _, set := range Sets() {
			got := make([]float32, len(want))
			set.Dequantize(kind, got, c.Stored)
			sameBits(t, set.Name+" "+c.Type, got, want)
		}
	}
}

// types are all storage types.
var types = []tensor.Type{tensor.F32, tensor.F16, tensor.BF16, tensor.Q4_0, tensor.Q4_1, tensor.Q8_0, tensor.Q4_K, tensor.Q6_K}

// sameBits fails the test at the first element whose bits differ; all numbers
// that are none are the same.
func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if math.Float32bits(g) != math.Float32bits(w) && !(g != g && w != w) {
			t.Fatalf("%s: [%d] = %v (%08x), want %v (%08x)", what, i, g, math.Float32bits(g), w, math.Float32bits(w))
		}
	}
}
