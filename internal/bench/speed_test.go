package bench

import (
	"context"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
)

// TestSpeeds checks by the weights that were read that as many forwards ran as
// the tests of llama-bench define.
func TestSpeeds(t *testing.T) {
	w := modeltest.Tiny(1)
	e, err := engine.New(w, engine.Options{Threads: 1, Compute: engine.Exact})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var forward int64 // weights that one forward with logits for one row reads
	for _, l := range w.Layers {
		for _, m := range l[:model.Projections] {
			forward += int64(len(m.Data))
		}
	}
	forward += int64(len(w.Tensors[model.Head].Data))
	for _, c := range []struct {
		depth    int
		works    []Work
		forwards int64 // of the context, and of one round
		round    int64
	}{
		{0, []Work{{Prefill: true, Tokens: 40}}, 0, 1},
		{0, []Work{{Tokens: 7}}, 0, 7},
		{70, []Work{{Prefill: true, Tokens: 40}, {Tokens: 7}}, 1, 8},
	} {
		before, steps := e.Device().WeightBytes(), 0
		got, err := Speeds(context.Background(), e, newText(t, 10), c.depth, c.works, 2, func() { steps++ })
		if err != nil {
			t.Fatal(err)
		}
		if n := (e.Device().WeightBytes() - before) / forward; n != c.forwards+3*c.round {
			t.Errorf("%v: %d forwards instead of %d", c.works, n, c.forwards+3*c.round)
		}
		if steps != 2*len(c.works) {
			t.Errorf("%v: %d measurements", c.works, steps)
		}
		for _, s := range got {
			if !(s.Min > 0 && s.Min <= s.Median && s.Median <= s.Max) {
				t.Errorf("%+v: not in order", s)
			}
		}
	}
	if _, err := Speeds(context.Background(), e, newText(t, 10), 2045, []Work{{Tokens: 7}}, 1, nil); err == nil || !strings.Contains(err.Error(), "do not fit") {
		t.Errorf("work beyond the model's context: %v", err)
	}
}

func TestWorkNames(t *testing.T) {
	for want, got := range map[string]string{
		"pp512":       Work{true, 512}.test(0),
		"tg64":        Work{false, 64}.test(0),
		"pp144@d4096": Work{true, 144}.test(4096),
		"tg16@d4096":  Work{false, 16}.test(4096),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
