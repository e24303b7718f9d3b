package engine

import (
	"context"
	"math"
	"testing"

	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/oracle"
)

// TestWindowedModel generates with a model whose tokens see 37 positions: with kept keys
// and values in every format as from nothing, bit for bit, and as the oracle's mask
// says. Evidence is seen however far away it stands.
func TestWindowedModel(t *testing.T) {
	w := modeltest.Tiny(1)
	w.Config.Window = 37
	for _, opt := range computePaths() {
		e, err := New(w, opt)
		if err != nil {
			t.Fatal(err)
		}
		for name, p := range layouts(t) {
			t.Run(opt.Kernels+"-"+string(opt.Compute)+opt.KV+"/"+name, func(t *testing.T) {
				steps := generate(t, e, p, 3, 70, 2)
				if d := firstDifference(t, e, p, steps); d != "" {
					t.Error(d)
				}
				if opt.Compute != Exact {
					return
				}
				for _, st := range steps {
					rows, err := oracle.New(w).Recompute(context.Background(), p, st.text, st.evidence, st.sampled)
					if err != nil {
						t.Fatal(err)
					}
					for i, row := range rows {
						for j, want := range row {
							if got := st.logits[i][j]; math.Abs(float64(got-want)) > 2e-4*max(1, math.Abs(float64(want))) {
								t.Fatalf("token %d, logit %d: %v, the oracle %v", i, j, got, want)
							}
						}
					}
				}
			})
		}
		e.Close()
	}
}
