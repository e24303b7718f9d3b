package engine

import (
	"testing"

	compare "github.com/flashback-lm/flashback/internal/fixture"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
)

// TestAnyWidth: rows that are no whole blocks of 32 are computed as they are stored, in fast
// compute too, and keep the exactness promise beside others that are rounded.
func TestAnyWidth(t *testing.T) {
	for _, width := range [][2]int{{40, 100}, {64, 100}, {40, 96}} {
		anyWidth(t, width[0], width[1])
	}
}

func anyWidth(t *testing.T, hidden, ff int) {
	w := modeltest.Random(model.Config{
		Family: "llama", Layers: 2, Hidden: hidden, Heads: 4, KVHeads: 2, HeadDim: 10, FF: ff, Context: 512, Vocab: 300, RopeBase: 10000, NormEps: 1e-5,
	}, 1)
	exact, err := New(w, Options{Compute: Exact})
	if err != nil {
		t.Fatal(err)
	}
	defer exact.Close()
	want := generate(t, exact, placement.Virtual, 1, 60, 2)
	for _, o := range computePaths() {
		if o.KV == "i16" || o.KV == "q8" {
			continue // these need heads of whole vectors of 8, and say so
		}
		e, err := New(w, o)
		if err != nil {
			t.Errorf("%s %s: %v", o.Kernels, o.Compute, err)
			continue
		}
		got := generate(t, e, placement.Virtual, 1, 60, 2)
		if d := firstDifference(t, e, placement.Virtual, got); d != "" {
			t.Errorf("%d, %d: %s %s: %s", hidden, ff, o.Kernels, o.Compute, d)
		}
		// Of the same text; int8 rounds what has whole blocks.
		if d := compare.Distance(got[0].logits[0], want[0].logits[0]); !(d < 0.05) {
			t.Errorf("%d, %d: %s %s: %g off the exact logits", hidden, ff, o.Kernels, o.Compute, d)
		}
		e.Close()
	}
}
