package bench

import (
	"context"
	"testing"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
)

// BenchmarkStride times strides of a random model of four layers at a context of
// 512, a passage of 64 and 8 sampled tokens, in each placement.
func BenchmarkStride(b *testing.B) {
	ctx := context.Background()
	w := modeltest.Random(model.Config{
		Family: "llama", Layers: 4, Hidden: 256, Heads: 4, KVHeads: 2, HeadDim: 64,
		FF: 512, Context: 1024, Vocab: 1000, RopeBase: 10000, NormEps: 1e-5,
	}, 1)
	o := LoopOptions{Placements: placement.All, Contexts: []int{512}, Passages: []int{1}, Evidence: 64, Stride: 8, Rounds: 1}
	for _, k := range o.kinds(0) {
		b.Run(Row{Placement: k.placement.Name, Evidence: k.evidence()}.Name(), func(b *testing.B) {
			e, err := engine.New(w, engine.Options{Compute: engine.Exact})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			text := newText(b, 100_000)
			tokens, err := text.Take(512)
			if err != nil {
				b.Fatal(err)
			}
			known, err := text.Passages(1, o.Evidence)
			if err != nil {
				b.Fatal(err)
			}
			shared, err := (&loop{o: o, e: e}).share(ctx, tokens)
			if err != nil {
				b.Fatal(err)
			}
			defer shared.Close()
			r := newRepeater(k, o, shared, known)
			defer r.seq.Close()
			for b.Loop() {
				b.StopTimer()
				fresh, err := text.Passages(k.passages, o.Evidence)
				if err != nil {
					b.Fatal(err)
				}
				if err := r.rewind(ctx); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if err := r.measure(ctx, e, fresh); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N*o.Stride), "ms/token")
		})
	}
}
