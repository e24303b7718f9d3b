package quant

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// TestReference holds every format to the values of gguf-py, bit for bit
// (tools/reference/dequantize.py wrote them).
func TestReference(t *testing.T) {
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
	seen := map[tensor.Type]bool{}
	for _, c := range cases {
		kind := tensor.TypeNamed(c.Type)
		seen[kind] = true
		got := make([]float32, len(c.Values)/4)
		Dequantize(kind, got, c.Stored)
		m := tensor.Matrix{Type: kind, Rows: 2, Cols: len(got) / 2, Data: c.Stored}
		row := make([]float32, m.Cols)
		Row(row, m, 1)
		for i, g := range got {
			if want := binary.LittleEndian.Uint32(c.Values[4*i:]); math.Float32bits(g) != want {
				t.Fatalf("%s: [%d] = %v, want %v", c.Type, i, g, math.Float32frombits(want))
			}
			if i >= m.Cols && row[i-m.Cols] != g {
				t.Fatalf("%s: row 1 [%d] = %v, want %v", c.Type, i-m.Cols, row[i-m.Cols], g)
			}
		}
	}
	for kind := tensor.Invalid + 1; kind < tensor.Types; kind++ {
		if !seen[kind] {
			t.Errorf("no values of %v: add it to tools/reference/dequantize.py", kind)
		}
	}
}
