package model_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/oracle"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// TestQuantize: float matrices are rounded for products, and for nothing else; the engine
// computes with what Quantized says.
func TestQuantize(t *testing.T) {
	for name, want := range map[string]map[string]tensor.Type{
		"q8_0": {"blk.0.attn_q.weight": tensor.Q8_0, "blk.0.ffn_down.weight": tensor.F32, "output.weight": tensor.Q8_0, "token_embd.weight": tensor.F32, "blk.0.attn_norm.weight": tensor.F32},
		"q4_0": {"blk.0.attn_q.weight": tensor.Q4_0, "blk.0.ffn_down.weight": tensor.F32, "output.weight": tensor.Q8_0, "token_embd.weight": tensor.F32},
		"q4_k": {"blk.0.attn_q.weight": tensor.Q8_0}, // rows of 32 are no blocks of 256
	} {
		m, err := model.Load("testdata/plain")
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		digest := m.Digest()
		if err := m.QuantizeTo(name); err != nil {
			t.Fatal(err)
		}
		q, err := m.Quantized()
		if err != nil {
			t.Fatal(err)
		}
		for s, got := range q.All() {
			if kind, ok := want[s.GGUF]; ok && got.Type != kind {
				t.Errorf("%s: %s is %v, want %v", name, s.GGUF, got.Type, kind)
			}
		}
		if m.Digest() != digest {
			t.Errorf("%s: the digest is another", name)
		}
		for _, compute := range []engine.Compute{engine.Exact, engine.Fast} {
			agree(t, name+" "+string(compute), m, q, compute)
		}
	}
}

// agree compares logits of the engine with the oracle's of other weights; fast compute
// rounds activations too, and is only to be near.
func agree(t *testing.T, what string, m *model.Model, q *model.Weights, compute engine.Compute) {
	t.Helper()
	allowed := map[engine.Compute]float64{engine.Exact: 1e-4, engine.Fast: 1}[compute]
	e, err := engine.New(&m.Weights, engine.Options{Compute: compute})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s := e.NewSequence()
	defer s.Close()
	text, target := []int32{1, 70, 90, 30}, []int32{5, 6, 7}
	if err := s.Append(text...); err != nil {
		t.Fatal(err)
	}
	want, err := oracle.New(q).Logits(context.Background(), placement.None, text, nil, target)
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	err = s.Logits(context.Background(), placement.None, nil, target, func(row []float32) {
		for j, v := range row {
			if !(math.Abs(float64(v-want[i][j])) <= allowed) {
				t.Fatalf("%s: logit [%d, %d] is %v, the oracle's %v", what, i, j, v, want[i][j])
			}
		}
		i++
	})
	if err != nil || i != len(target) {
		t.Fatal(i, err)
	}
}

func TestQuantizeRefuses(t *testing.T) {
	m, err := model.Load("testdata/plain")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.QuantizeTo("q5_k"); err == nil || !strings.Contains(err.Error(), "use q8_0, q4_0 or q4_k") {
		t.Errorf("q5_k: %v", err)
	}
	q, err := model.Load("testdata/plain")
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := q.QuantizeTo("q8_0"); err != nil {
		t.Fatal(err)
	}
	w, err := q.Quantized()
	if err != nil {
		t.Fatal(err)
	}
	m.Weights = *w
	for i := range m.Layers { // rows of 48, which nothing rounds
		m.Layers[i][model.Down] = m.Layers[i][model.Up]
	}
	if err := m.QuantizeTo("q4_0"); err == nil || !strings.Contains(err.Error(), "stored as Q8_0 already") {
		t.Errorf("a quantised model: %v", err)
	}
}
