package merge

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// TestFamilies: of every family, a merged file and a merged directory give the logits of
// the model with the adapter.
func TestFamilies(t *testing.T) {
	for _, name := range modeltest.Families(t) {
		t.Run(name, func(t *testing.T) {
			m := modeltest.Family(t, name)
			c := lora.Config{Rank: 3, Alpha: 6, Targets: []model.Role{model.Q, model.V, model.O, model.Gate, model.Up, model.Down}}
			a := lora.New(c, lora.ShapeOf(&m.Weights), 3)
			r := rand.New(rand.NewPCG(3, 3))
			for _, values := range a.Tensors() {
				for i := range values {
					values[i] += float32(0.1 * r.NormFloat64())
				}
			}
			text := modeltest.ReferenceOf(t, name).IDs[:40]
			want := logits(t, m, a, text)
			if distance(logits(t, m, nil, text), want) < 0.01 {
				t.Fatal("the adapter changes nothing")
			}
			merged := merger(t, m, a)
			file, dir := filepath.Join(t.TempDir(), "merged.gguf"), filepath.Join(t.TempDir(), "merged")
			if err := merged.WriteGGUF(file, tensor.F32); err != nil {
				t.Fatal(err)
			}
			if err := merged.WriteHuggingFace(dir, tensor.F32); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{file, dir} {
				if d := distance(logits(t, open(t, path), nil, text), want); !(d <= 1e-4) {
					t.Errorf("%s: logits differ by %g", filepath.Ext(path), d)
				}
			}
		})
	}
}
