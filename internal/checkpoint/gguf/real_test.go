package gguf

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/hub/hubtest"
)

// TestRealModel holds every tensor of the default model to what the Python package
// gguf reads (tools/reference/gguf_tensors.py): name, type, shape and bytes.
func TestRealModel(t *testing.T) {
	f, err := Open(hubtest.Model(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got strings.Builder
	for _, m := range f.Tensors() {
		shape := fmt.Sprint(m.Cols)
		if m.Rows > 1 {
			shape += fmt.Sprintf("x%d", m.Rows)
		}
		fmt.Fprintf(&got, "%s\t%s\t%s\t%x\n", m.Name, m.Type, shape, sha256.Sum256(m.Data))
	}
	want, err := os.ReadFile("testdata/smollm2-135m.tsv")
	if err != nil {
		t.Fatal(err)
	}
	a, b := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
	if len(a) != len(b) {
		t.Fatalf("%d tensors, want %d", len(a)-1, len(b)-1)
	}
	for i := range b {
		if a[i] != b[i] {
			t.Errorf("tensor %d:\n got %s\nwant %s", i, a[i], b[i])
		}
	}
	if layers, err := f.Uint("llama.block_count"); err != nil || layers != 30 {
		t.Errorf("llama.block_count = %d, %v; want 30", layers, err)
	}
	if base, err := f.Float("llama.rope.freq_base"); err != nil || base != 1e5 {
		t.Errorf("llama.rope.freq_base = %v, %v; want 1e5", base, err)
	}
	if tokens, err := f.Strings("tokenizer.ggml.tokens"); err != nil || len(tokens) != 49152 || tokens[0] != "<|endoftext|>" {
		t.Errorf("tokenizer.ggml.tokens: %d of them, %v", len(tokens), err)
	}
}
