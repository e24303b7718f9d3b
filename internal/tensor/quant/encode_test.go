package quant

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// TestQuantize compares with gguf-py, byte for byte, and where it cannot write a type with
// the error of llama.cpp's quantiser (tools/reference/quantize.py).
func TestQuantize(t *testing.T) {
	raw, err := os.ReadFile("testdata/quantize.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Cols       int
		Weights    []byte
		Q8_0, Q4_0 []byte
		Q4_K       []float64
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	weights := make([]float32, len(want.Weights)/4)
	if err := binary.Read(bytes.NewReader(want.Weights), binary.LittleEndian, weights); err != nil {
		t.Fatal(err)
	}
	for kind, stored := range map[tensor.Type][]byte{tensor.Q8_0: want.Q8_0, tensor.Q4_0: want.Q4_0} {
		if got, err := Quantize(kind, weights); err != nil || !bytes.Equal(got, stored) {
			t.Errorf("%v differs from gguf-py's: %v", kind, err)
		}
	}
	for i, reference := range want.Q4_K {
		row := weights[i*want.Cols:][:want.Cols]
		stored, err := Quantize(tensor.Q4_K, row)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, len(row))
		Dequantize(tensor.Q4_K, got, stored)
		var sum float64
		for j, w := range row {
			sum += math.Pow(float64(got[j]-w), 2)
		}
		// Both search the same steps; which of two nearly equal ones is taken may differ.
		if e := math.Sqrt(sum / float64(len(row))); !(e <= 1.02*reference) {
			t.Errorf("row %d: Q4_K leaves an error of %.3g, llama.cpp's %.3g", i, e, reference)
		}
	}
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		weights[700] = bad
		if _, err := Quantize(tensor.Q4_K, weights); err == nil {
			t.Errorf("%v was rounded", bad)
		}
	}
}
