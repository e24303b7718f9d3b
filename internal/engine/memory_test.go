package engine

import (
	"context"
	"runtime"
	"testing"

	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// TestMemory: what an engine takes of the heap is what was foretold, a few buffers apart.
func TestMemory(t *testing.T) {
	w := modeltest.Random(model.Config{
		Family: "llama", Layers: 4, Hidden: 256, Heads: 8, KVHeads: 4, HeadDim: 32, FF: 768, Context: 2048, Vocab: 6000, RopeBase: 10000, NormEps: 1e-5,
	}, 1)
	for _, c := range []struct {
		compute Compute
		rounded tensor.Type
	}{{Fast, tensor.Invalid}, {Fast, tensor.Q4_0}, {Exact, tensor.Invalid}, {Exact, tensor.Q8_0}} {
		w.Quantize = c.rounded
		opt := Options{Compute: c.compute, Threads: 2, BatchTokens: 64}
		const text = 1024
		want, err := opt.Memory(w, text)
		if err != nil {
			t.Fatal(err)
		}
		foretold := want.Weights + want.KV + want.Work
		before := heap()
		e, err := New(w, opt)
		if err != nil {
			t.Fatal(err)
		}
		s := e.NewSequence()
		if err := s.Append(make([]int32, text-1)...); err != nil {
			t.Fatal(err)
		}
		if err := s.Logits(context.Background(), placement.None, nil, []int32{0}, func([]float32) {}); err != nil {
			t.Fatal(err)
		}
		taken := int64(heap() - before)
		s.Close()
		e.Close()
		t.Logf("%s, %v: %d foretold (%+v), %d taken", c.compute, c.rounded, foretold, want, taken)
		if taken > foretold+foretold/20+1<<20 || taken < foretold*9/10 {
			t.Errorf("%s, rounded to %v: %d bytes were foretold (%+v), and %d taken", c.compute, c.rounded, foretold, want, taken)
		}
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
