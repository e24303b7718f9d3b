package engine

import (
	"testing"

	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/oracle"
)

// TestWindowedModel generates with a model whose tokens see 37 positions: with kept keys
// and values in every format as from nothing, bit for bit, and as the oracle's mask
// says. Virtual evidence is seen however far away it stands.
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
				oracleAgrees(t, oracle.New(w), p, steps)
			})
		}
		e.Close()
	}
}
