package bench

import (
	"context"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
)

func batchOptions() BatchOptions {
	return BatchOptions{
		Sequences: []int{1, 3}, Placements: []placement.Placement{placement.None, placement.Virtual, placement.Append},
		Context: 40, Evidence: 20, Stride: 4, Strides: 2, Rounds: 2,
	}
}

func TestBatch(t *testing.T) {
	o, steps := batchOptions(), 0
	o.Step = func() { steps++ }
	rows, err := Batch(context.Background(), modeltest.Tiny(1), engine.Options{Threads: 2}, newText(t, 300), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 6 || steps != o.Measurements() {
		t.Fatalf("%d rows and %d steps", len(rows), steps)
	}
	for i, r := range rows {
		if r.Placement != o.Placements[i/2].Name || r.Sequences != o.Sequences[i%2] || r.Rounds != 2 || r.Context != 40 {
			t.Errorf("row %d: %+v", i, r)
		}
		if !(r.Min > 0 && r.Min <= r.Median && r.Median <= r.Max) || (i%2 == 0) != (r.Ratio == 1) {
			t.Errorf("row %d: %+v", i, r)
		}
	}
}

func TestBatchRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*BatchOptions)
		want string
	}{
		"no sequences":   {func(o *BatchOptions) { o.Sequences = nil }, "nothing to measure"},
		"zero sequences": {func(o *BatchOptions) { o.Sequences = []int{0} }, "at least 1"},
		"too long":       {func(o *BatchOptions) { o.Context = 2040 }, "take 2068 positions"},
		"no rounds":      {func(o *BatchOptions) { o.Rounds = 0 }, "at least 1"},
	} {
		o := batchOptions()
		c.edit(&o)
		if _, err := Batch(context.Background(), modeltest.Tiny(1), engine.Options{}, newText(t, 300), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
}
