package train

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// TestMarksBegin: near a line break's embedding where that is one token, else near
// the mean, and apart from each other.
func TestMarksBegin(t *testing.T) {
	r := Recipe{Rank: 2, Alpha: 2, Targets: []model.Role{model.Q}, Marks: true, Seed: 1}
	p, w := tinyPacking(t, r)
	mean, far := quant.MeanRow(w.Tensors[model.Embedding]), make([]float32, w.Config.Hidden)
	quant.Row(far, w.Tensors[model.Embedding], 17)
	for _, c := range []struct {
		name      string
		lineBreak []int32
		near      []float32
	}{
		{"one token", []int32{17}, far},
		{"two tokens", []int32{17, 18}, mean},
		{"no token", nil, mean},
	} {
		rows := p.Model.Fresh(r, c.lineBreak).Rows
		if len(rows) != 2 {
			t.Fatalf("%s: %d rows, want 2", c.name, len(rows))
		}
		same := true
		for i, v := range c.near {
			for _, row := range rows {
				if d := row.Embedding[i] - v; d > 0.06 || d < -0.06 { // six deviations of the noise
					t.Errorf("%s: element %d is %g from where marks begin", c.name, i, d)
				}
			}
			same = same && rows[0].Embedding[i] == rows[1].Embedding[i]
		}
		if same {
			t.Errorf("%s: the marks begin alike", c.name)
		}
	}
	for i, v := range mean {
		if d := far[i] - v; d > 0.2 || d < -0.2 {
			return
		}
	}
	t.Error("the token's embedding is the mean: the test tells nothing")
}

// TestMarksAreAsWideAsEmbeddings, also where those are narrower than the model (OPT-350M).
func TestMarksAreAsWideAsEmbeddings(t *testing.T) {
	w := modeltest.Family(t, "opt-350m")
	if w.Config.Embedded() == w.Config.Hidden {
		t.Fatal("its embeddings are as wide as the model: the test tells nothing")
	}
	near := make([]float32, w.Config.Embedded())
	quant.Row(near, w.Tensors[model.Embedding], 17)
	for _, row := range newModel(t, &w.Weights, 1).Fresh(Paper(), []int32{17}).Rows {
		if len(row.Embedding) != len(near) {
			t.Fatalf("a mark has %d numbers, an embedding %d", len(row.Embedding), len(near))
		}
		for i, v := range near {
			if d := row.Embedding[i] - v; d > 0.06 || d < -0.06 {
				t.Errorf("element %d is %g from where marks begin", i, d)
			}
		}
	}
}

// TestContinueRefuses: what training does not change is not left out silently.
func TestContinueRefuses(t *testing.T) {
	p, w := tinyPacking(t, Recipe{Rank: 2, Alpha: 2, Targets: []model.Role{model.Q}, Seed: 1})
	dir := t.TempDir()
	var b bytes.Buffer
	if err := safetensors.Encode(&b, []safetensors.Tensor{
		safetensors.F32("base_model.model.model.norm.weight", make([]float32, w.Config.Hidden), w.Config.Hidden),
	}, nil); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"adapter_config.json":       []byte(`{"peft_type": "LORA", "modules_to_save": ["norm"]}`),
		"adapter_model.safetensors": b.Bytes(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := p.Model.Continue(dir, "", Recipe{}); err == nil || !strings.Contains(err.Error(), "merge it") {
		t.Errorf("error %v", err)
	}
}
