package train

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/trainset"
)

// BenchmarkGradients takes steps of the paper's shape with the model in the file that
// FLASHBACK_MODEL names: a window of 528 tokens, a branch at every fourth stride of 16
// with a passage of 128 tokens, rank 16 on q, k, v and o. The speed does not depend
// on the tokens, which are random.
func BenchmarkGradients(b *testing.B) {
	path := os.Getenv("FLASHBACK_MODEL")
	if path == "" {
		b.Skip("FLASHBACK_MODEL names no GGUF file")
	}
	w, err := model.Load(path)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	m, err := NewModel(&w.Weights, 0, "")
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	c := w.Config
	r := rand.New(rand.NewPCG(1, 1))
	some := func(n int) []int32 {
		t := make([]int32, n)
		for i := range t {
			t[i] = int32(r.IntN(c.Vocab))
		}
		return t
	}
	window := trainset.Window{Document: "random", Tokens: some(528)}
	for p := 64; p <= 512; p += 64 {
		window.Strides = append(window.Strides, trainset.Stride{Context: p, Passages: []trainset.Passage{{Tokens: some(128)}}})
	}
	a := &lora.Weights{Layers: make([]lora.Layer, c.Layers)}
	random := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = 0.02 * float32(r.NormFloat64())
		}
		return x
	}
	for i := range a.Layers {
		for _, s := range c.Block() {
			if s.Role <= model.O && s.Role.Projection() {
				a.Layers[i][s.Role] = &lora.Factor{Rank: 16, In: s.Cols, Out: s.Rows, Scale: 2, A: random(16 * s.Cols), B: random(s.Rows * 16)}
			}
		}
	}
	marks := &ralm.Marks{Left: int32(c.Vocab), Right: int32(c.Vocab) + 1}
	for _, t := range []int32{marks.Left, marks.Right} {
		a.Rows = append(a.Rows, lora.Row{Token: t, Embedding: random(c.Hidden)})
	}
	for _, c := range []struct {
		name string
		p    placement.Placement
		drop Dropout
		fast bool
	}{
		{"append", placement.Append, Dropout{}, false},
		{"append-dropout", placement.Append, Dropout{P: 0.05, Seed: 1}, false},
		{"virtual", placement.Virtual, Dropout{}, false},
		{"append-rounded", placement.Append, Dropout{}, true},
		{"append-rounded-dropout", placement.Append, Dropout{P: 0.05, Seed: 1}, true},
		{"virtual-rounded", placement.Virtual, Dropout{}, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			if c.fast && m.UseRounding() == "" {
				b.Skip("no product is faster than f32 here")
			}
			packed, err := Pack(window, c.p, 1, marks, 16)
			if err != nil {
				b.Fatal(err)
			}
			into := a.Like()
			for b.Loop() {
				if _, err := m.Gradients(context.Background(), packed, a, into, 1, c.drop, false); err != nil {
					b.Fatal(err)
				}
			}
			seconds := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(float64(packed.Tokens())/seconds, "tokens/s")
			b.ReportMetric(float64(packed.Targets())/seconds, "targets/s")
		})
	}
}
