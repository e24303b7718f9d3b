package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

var update = flag.Bool("update", false, "write testdata/adapter/ours again; then run tools/reference/adapter.py")

// peftBase returns the tiny model of tools/reference/adapter.py, or of adapter_forms.py.
func peftBase(t *testing.T, path string) *model.Weights {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string]safetensors.Tensor{}
	for _, tensor := range f.Tensors {
		all[tensor.Name] = tensor
	}
	c := model.Config{
		Family: "llama", Layers: 2, Hidden: 32, Heads: 4, KVHeads: 2, HeadDim: 8, FF: 48,
		Context: 128, Vocab: 40, RopeBase: 10000, NormEps: 1e-5,
	}
	w := &model.Weights{Config: c, Layers: make([]model.Tensors, c.Layers)}
	for s, m := range w.All() {
		source, ok := all[s.HuggingFace]
		if !ok && !s.Optional {
			t.Fatalf("the fixture has no %s", s.HuggingFace)
		} else if !ok {
			continue
		}
		values := s.FromHuggingFace(source.Floats(), s.Cols)
		*m = tensor.Matrix{Name: s.GGUF, Type: tensor.F32, Rows: s.Rows, Cols: s.Cols, Data: safetensors.F32("", values).Data}
	}
	if w.Tensors[model.Head].Rows == 0 {
		w.Tensors[model.Head] = w.Tensors[model.Embedding]
	}
	return w
}

// TestAdaptersOfPEFT loads an adapter that PEFT wrote, and one that we wrote and
// PEFT loaded: the logits of a text with both marks must be PEFT's within 1e-3, the
// tolerance between two orders of summation in f32 (1e-5 is what is seen).
func TestAdaptersOfPEFT(t *testing.T) {
	w := peftBase(t, "testdata/adapter/base.safetensors")
	e, err := New(w, Options{Compute: Exact})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ours := filepath.Join("testdata", "adapter", "ours")
	if *update {
		a := lora.New(lora.Config{Rank: 3, Alpha: 5, Targets: []model.Role{model.Q, model.K, model.V, model.O, model.Up, model.Down}, Base: "tiny"}, lora.ShapeOf(w), 9)
		a.AddMarks(quant.MeanRow(w.Tensors[model.Embedding]), 9)
		r := rand.New(rand.NewPCG(9, 9))
		for _, tensor := range a.Tensors() {
			for i := range tensor {
				tensor[i] += float32(0.2 * r.NormFloat64())
			}
		}
		a.Layers[1][model.K].Scale *= 2
		if err := lora.Write(ours, a); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile("testdata/adapter/logits.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Tokens             []int32
		Base, Theirs, Ours [][]float32
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	for name, logits := range map[string][][]float32{"theirs": want.Theirs, "ours": want.Ours} {
		a, err := e.OpenAdapter(filepath.Join("testdata", "adapter", name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.Recompute(context.Background(), placement.None, want.Tokens[:1], nil, append(want.Tokens[1:len(want.Tokens):len(want.Tokens)], 0))
		if err != nil {
			t.Fatal(err)
		}
		worst, moved := 0.0, 0.0
		for i, row := range got {
			for j, l := range row {
				worst = max(worst, math.Abs(float64(l-logits[i][j])))
				moved = max(moved, math.Abs(float64(want.Base[i][j]-logits[i][j])))
			}
		}
		t.Logf("%s: logits differ by %.2g at most; the adapter moves them by %.2g", name, worst, moved)
		if worst > 1e-3 || moved < 0.1 {
			t.Errorf("%s: logits differ from PEFT's by %g; the adapter moves them by %g", name, worst, moved)
		}
	}
	// What PEFT has loaded is what Write writes.
	a, err := lora.Read(ours, lora.ShapeOf(w))
	if err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "ours")
	if err := lora.Write(again, a); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"adapter_config.json", "adapter_model.safetensors", "flashback.json"} {
		x, err := os.ReadFile(filepath.Join(ours, name))
		if err != nil {
			t.Fatal(err)
		}
		if y, _ := os.ReadFile(filepath.Join(again, name)); !bytes.Equal(x, y) {
			t.Errorf("%s is no longer what PEFT has loaded: run this test with -update, then tools/reference/adapter.py", name)
		}
	}
}
