package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
	refs "github.com/flashback-lm/flashback/internal/fixture"
	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/oracle"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// forms is what tools/reference/adapter_forms.py wrote.
type forms struct {
	Tokens       []int32
	Tied, Untied [][]float32 // without an adapter
	Forms        map[string]struct {
		Tied   bool
		Logits [][]float32
	}
}

func readForms(t *testing.T) forms {
	t.Helper()
	data, err := os.ReadFile("testdata/forms/logits.json")
	if err != nil {
		t.Fatal(err)
	}
	var f forms
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// base returns the model that a form is for.
func (f forms) base(t *testing.T, tied bool) *model.Weights {
	if tied {
		return peftBase(t, "testdata/forms/tied.safetensors")
	}
	return peftBase(t, "testdata/forms/untied.safetensors")
}

// farthest returns the largest difference of two tables of logits, of the tokens that both
// have.
func farthest(a, b [][]float32) float64 {
	worst := 0.0
	for i, row := range a {
		for j, l := range row[:min(len(row), len(b[i]))] {
			worst = max(worst, math.Abs(float64(l-b[i][j])))
		}
	}
	return worst
}

// TestFormsOfAdapters: whatever names, expressions and parts PEFT saves an adapter with,
// the logits are PEFT's within 1e-4, for logits of order 10 rounded to 6 digits behind
// the point (2e-5 is what is seen), and the oracle's.
func TestFormsOfAdapters(t *testing.T) {
	f := readForms(t)
	engines := map[bool]*Engine{}
	for _, tied := range []bool{true, false} {
		e, err := New(f.base(t, tied), Options{Compute: Exact})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		engines[tied] = e
	}
	text, target := f.Tokens[:1], append(slices.Clone(f.Tokens[1:]), 0)
	for name, want := range f.Forms {
		e, plain := engines[want.Tied], f.Untied
		if want.Tied {
			plain = f.Tied
		}
		a, err := e.OpenAdapter(filepath.Join("testdata", "forms", name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := a.Recompute(context.Background(), placement.None, text, nil, target)
		if err != nil {
			t.Fatal(err)
		}
		if off, moved := farthest(got, want.Logits), farthest(plain, want.Logits); off > 1e-4 || moved < 0.1 {
			t.Errorf("%s: %.2g off PEFT's logits; the adapter moves them by %.2g", name, off, moved)
		}
		slow, err := oracle.New(e.weights).With(a.Source()).Recompute(context.Background(), placement.None, text, nil, target)
		if err != nil {
			t.Fatal(err)
		}
		if off := farthest(got, slow); off > 1e-4 {
			t.Errorf("%s: %.2g off the oracle's logits", name, off)
		}
	}
}

// TestFormsSideBySide: adapters with norms and heads of their own share chunks with others
// and with none, and each keeps the bits that it has alone.
func TestFormsSideBySide(t *testing.T) {
	f := readForms(t)
	for _, o := range []Options{{Compute: Exact, KVBudget: 16 << 20}, {Compute: Fast, BatchTokens: 48, KVBudget: 16 << 20}} {
		for _, tied := range []bool{true, false} {
			e, err := New(f.base(t, tied), o)
			if err != nil {
				t.Fatal(err)
			}
			adapters := []*Adapter{nil, nil}
			for name, form := range f.Forms {
				if form.Tied == tied {
					a, err := e.OpenAdapter(filepath.Join("testdata", "forms", name))
					if err != nil {
						t.Fatal(err)
					}
					adapters = append(adapters, a)
				}
			}
			write := func(i int) (logits [][]float32) {
				s := e.NewSequence()
				defer s.Close()
				if err := s.SetAdapter(adapters[i]); err != nil {
					t.Error(err)
				}
				s.Append(f.Tokens...)
				s.Append(f.Tokens[:i%5]...)
				for stride := range 2 {
					evidence := []lm.Evidence{{Tokens: f.Tokens[stride:9], Weight: 1}}
					_, err := s.Continue(context.Background(), placement.Append, evidence, 5, pick(func(l []float32) int32 {
						logits = append(logits, slices.Clone(l))
						return greedy(l)
					}), nil)
					if err != nil {
						t.Error(err)
					}
				}
				return logits
			}
			alone := make([][][]float32, len(adapters))
			for i := range adapters {
				alone[i] = write(i)
			}
			var writers sync.WaitGroup
			for i := range adapters {
				writers.Go(func() { sameRows(t, string(o.Compute), write(i), alone[i]) })
			}
			writers.Wait()
			e.Close()
		}
	}
}

// TestForeignAdapters: an adapter of PEFT's told in llama.cpp's and in mlx-lm's way has the
// logits that it has as PEFT's.
func TestForeignAdapters(t *testing.T) {
	f := readForms(t)
	w := f.base(t, false)
	e, err := New(w, Options{Compute: Exact})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	logits := func(path string) [][]float32 {
		a, err := e.OpenAdapter(path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		got, err := a.Recompute(context.Background(), placement.None, f.Tokens[:1], nil, append(slices.Clone(f.Tokens[1:]), 0))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, form := range []string{"all-linear", "head", "embedding"} {
		theirs := refs.Load(t, filepath.Join("testdata", "forms", form, "adapter_model.safetensors"))
		var file gguf.Writer
		for key, value := range map[string]any{
			"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": float32(6), // as the forms'
		} {
			file.Set(key, value)
		}
		add := func(name string, values []float32, rows int) {
			file.Add(tensor.Matrix{Name: name, Type: tensor.F32, Rows: rows, Cols: len(values) / rows, Data: safetensors.F32("", values).Data})
		}
		across := func(values []float32, rows int) []float32 {
			cols := len(values) / rows
			out := make([]float32, len(values))
			for i, v := range values {
				out[i%cols*rows+i/cols] = v
			}
			return out
		}
		var mlx []safetensors.Tensor
		const rank = 2
		for s := range w.All() {
			module := "base_model.model." + s.Module()
			if a := theirs[module+".lora_A.weight"]; a != nil {
				b := theirs[module+".lora_B.weight"]
				add(s.GGUF+".lora_a", a, rank)
				add(s.GGUF+".lora_b", s.FromHuggingFace(b, rank), s.Rows)
				mlx = append(mlx, safetensors.F32(s.Module()+".lora_a", across(a, rank), s.Cols, rank),
					safetensors.F32(s.Module()+".lora_b", across(b, s.Rows), rank, s.Rows))
			}
			if a := theirs[module+".lora_embedding_A"]; a != nil {
				add(s.GGUF+".lora_a", across(a, rank), s.Rows)
				add(s.GGUF+".lora_b", theirs[module+".lora_embedding_B"], s.Cols)
			}
		}
		path := filepath.Join(t.TempDir(), "adapter.gguf")
		if err := file.WriteFile(path); err != nil {
			t.Fatal(err)
		}
		want := f.Forms[form].Logits
		if off := farthest(logits(path), want); off > 1e-4 {
			t.Errorf("%s as GGUF: logits are %g off", form, off)
		}
		if form == "embedding" {
			continue // which mlx-lm does not adapt unless told to
		}
		dir := t.TempDir()
		config := []byte(`{"fine_tune_type": "lora", "lora_parameters": {"rank": 2, "scale": 3.0, "dropout": 0.0}, "num_layers": 2}`)
		if err := os.WriteFile(filepath.Join(dir, "adapter_config.json"), config, 0o600); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := safetensors.Encode(&b, mlx, nil); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "adapters.safetensors"), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if off := farthest(logits(dir), want); off > 1e-4 {
			t.Errorf("%s as mlx-lm's: logits are %g off", form, off)
		}
	}
}
