package engine

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
	shared "github.com/flashback-lm/flashback/internal/fixture"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/oracle"
	"github.com/flashback-lm/flashback/internal/placement"
)

// familyTolerance bounds the difference of a logit from transformers': rounding of f32 in
// another order, through a few narrow layers.
const familyTolerance = 1e-4

// TestFamiliesAgreeWithTransformers: tiny models of every family give transformers' logits
// at every position, token by token the very bits of a prefill.
func TestFamiliesAgreeWithTransformers(t *testing.T) {
	for _, name := range modeltest.Families(t) {
		t.Run(name, func(t *testing.T) {
			m, ref := modeltest.Family(t, name), modeltest.ReferenceOf(t, name)
			e, err := New(&m.Weights, Options{Compute: Exact, Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			var prefill, worst = [][]float32{}, 0.0
			score(t, e, ref.IDs, func(row []float32) {
				for i, p := range ref.Probes {
					d := math.Abs(float64(row[p] - ref.Logits[len(prefill)*len(ref.Probes)+i]))
					worst = max(worst, d)
				}
				prefill = append(prefill, append([]float32(nil), row...))
			})
			t.Logf("%d positions, largest difference %.1e", len(prefill), worst)
			if !(worst <= familyTolerance) || len(prefill) != len(ref.IDs) {
				t.Errorf("largest difference %g over %d positions", worst, len(prefill))
			}
			s := e.NewSequence()
			defer s.Close()
			c := m.Config
			for i, id := range ref.IDs[:200] {
				if err := s.Append(id); err != nil {
					t.Fatal(err)
				}
				err := s.Logits(context.Background(), placement.None, nil, []int32{0}, func(row []float32) {
					if c.Long(i+1) != c.Long(len(ref.IDs)) {
						return // the whole text turns by other frequencies than its beginning alone
					}
					for j, v := range row {
						if v != prefill[i][j] {
							t.Fatalf("token %d, logit %d: %v alone, %v in a prefill", i, j, v, prefill[i][j])
						}
					}
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// score calls row with the logits behind each token of a text.
func score(t *testing.T, e *Engine, text []int32, row func([]float32)) {
	t.Helper()
	s := e.NewSequence()
	defer s.Close()
	if err := s.Append(text[0]); err != nil {
		t.Fatal(err)
	}
	target := append(append([]int32(nil), text[1:]...), 0)
	if err := s.Logits(context.Background(), placement.None, nil, target, row); err != nil {
		t.Fatal(err)
	}
}

// TestFamiliesAreExact: with kept keys and values as from nothing, bit for bit, in every
// placement and in both computes; in exact compute as the oracle says.
func TestFamiliesAreExact(t *testing.T) {
	for _, name := range modeltest.Families(t) {
		m := modeltest.Family(t, name)
		for _, compute := range []Compute{Exact, Fast} {
			e, err := New(&m.Weights, Options{Compute: compute, Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			for layout, p := range layouts(t) {
				if m.Config.Positions > 0 && p.Evidence == placement.BeforeTurn {
					continue // no position is learned for its later passages
				}
				t.Run(name+"/"+string(compute)+"/"+layout, func(t *testing.T) {
					steps := generate(t, e, p, 3, 70, 2)
					if d := firstDifference(t, e, p, steps); d != "" {
						t.Error(d)
					}
					if compute == Exact {
						oracleAgrees(t, oracle.New(&m.Weights), p, steps[1:])
					}
				})
			}
			e.Close()
		}
	}
}

// oracleAgrees compares the logits of strides with the oracle's.
func oracleAgrees(t *testing.T, o *oracle.Oracle, p placement.Placement, steps []step) {
	t.Helper()
	for _, st := range steps {
		rows, err := o.Recompute(context.Background(), p, st.text, st.evidence, st.sampled)
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range rows {
			for j, want := range row {
				if got := st.logits[i][j]; !(math.Abs(float64(got-want)) <= 2e-4*max(1, math.Abs(float64(want)))) {
					t.Fatalf("token %d, logit %d: %v, the oracle %v", i, j, got, want)
				}
			}
		}
	}
}

// TestFamiliesAdaptersOfPEFT: an adapter of every projection under PEFT's names gives PEFT's
// logits (tools/reference/family_gradients.py), and what is written of it is what was read.
func TestFamiliesAdaptersOfPEFT(t *testing.T) {
	for _, name := range modeltest.Families(t) {
		t.Run(name, func(t *testing.T) {
			want := shared.Load(t, filepath.Join("..", "train", "testdata", "families", name+".safetensors"))
			m := modeltest.Family(t, name)
			e, err := New(&m.Weights, Options{Compute: Exact, Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			dir, tensors := t.TempDir(), map[string][]float32{}
			var all []safetensors.Tensor
			for key, grad := range want {
				if strings.Contains(key, "lora_") {
					tensors[key] = shared.Noise(key, len(grad), 0.3, 0)
					shape := []int{2, len(grad) / 2}
					if strings.Contains(key, "lora_B") {
						shape = []int{len(grad) / 2, 2}
					}
					all = append(all, safetensors.F32(key, tensors[key], shape...))
				}
			}
			var b bytes.Buffer
			if err := safetensors.Encode(&b, all, nil); err != nil {
				t.Fatal(err)
			}
			for file, data := range map[string][]byte{
				"adapter_model.safetensors": b.Bytes(),
				"adapter_config.json":       []byte(`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": "all-linear", "fan_in_fan_out": true}`),
			} {
				if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			a, err := e.OpenAdapter(dir)
			if err != nil {
				t.Fatal(err)
			}
			s := e.NewSequence()
			defer s.Close()
			if err := s.SetAdapter(a); err != nil {
				t.Fatal(err)
			}
			if err := s.Append(shared.Tokens("family", 120, m.Config.Vocab)...); err != nil {
				t.Fatal(err)
			}
			err = s.Logits(context.Background(), placement.None, nil, []int32{0}, func(row []float32) {
				shared.Close(t, "logits", row, want["logits"], 1e-4)
			})
			if err != nil {
				t.Fatal(err)
			}

			again := filepath.Join(t.TempDir(), "again")
			if err := lora.Write(again, a.Source()); err != nil {
				t.Fatal(err)
			}
			written := shared.Load(t, filepath.Join(again, "adapter_model.safetensors"))
			for key, x := range tensors {
				shared.Close(t, "written "+key, written[key], x, 0)
			}
			if len(written) != len(tensors) {
				t.Errorf("%d tensors were written of %d", len(written), len(tensors))
			}
		})
	}
}
