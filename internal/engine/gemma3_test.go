package engine

import (
	"math"
	"testing"

	shared "github.com/flashback-lm/flashback/internal/fixture"
	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/model"
)

// TestGemma3AgreesWithTransformers: the published weights, over a text longer than the
// window (tools/reference/gemma3_logits.py). It is skipped where they were not pulled.
func TestGemma3AgreesWithTransformers(t *testing.T) {
	found, err := hub.Resolve("gemma3-270m")
	if err != nil || testing.Short() {
		t.Skip("the model is not here; run: go run ./cmd/flashback pull gemma3-270m")
	}
	m, err := model.Load(found.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	e, err := New(&m.Weights, Options{Compute: Exact})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ref := shared.Load(t, "testdata/gemma3-270m.safetensors")
	var ids []int32
	for _, id := range ref["ids"] {
		ids = append(ids, int32(id))
	}
	at, worst := 0, 0.0
	score(t, e, ids, func(row []float32) {
		for i, p := range ref["probes"] {
			worst = max(worst, math.Abs(float64(row[int(p)]-ref["logits"][at*len(ref["probes"])+i])))
		}
		at++
	})
	t.Logf("%d positions, largest difference of a logit %.2g", at, worst)
	if at != len(ids) || !(worst <= tolerance) {
		t.Errorf("largest difference %g over %d positions, %g allowed", worst, at, tolerance)
	}
}
