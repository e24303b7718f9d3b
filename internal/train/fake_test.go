package train

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
)

// bowl is a fake task: the loss of a target is half the squared distance of the
// adapter from the window's own point, seen through noise of the dropout seed.
type bowl struct {
	windows int
	targets int
	points  []float32
	// before, if any, runs before each gradient with the number of those so far.
	before func(calls int) error
	calls  int
	// poison is added to the loss of the call of that number, counted from 1.
	poison     float64
	poisonCall int
}

func newBowl(windows int) *bowl {
	r := rand.New(rand.NewPCG(7, 7))
	b := &bowl{windows: windows, targets: 16}
	for range windows {
		b.points = append(b.points, r.Float32())
	}
	return b
}

func (b *bowl) Len() int                   { return b.windows }
func (b *bowl) Pack(i int) (Window, error) { return bowlWindow{b, i}, nil }

type bowlWindow struct {
	*bowl
	i int
}

func (w bowlWindow) Tokens() int  { return 100 }
func (w bowlWindow) Targets() int { return w.targets }

func (w bowlWindow) Gradients(ctx context.Context, a, into *lora.Weights, scale float32, seed uint64) (float64, error) {
	w.calls++
	if w.before != nil {
		if err := w.before(w.calls); err != nil {
			return 0, err
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	noise := rand.New(rand.NewPCG(seed, 0))
	sum := 0.0
	gradients := into.Tensors()
	for i, t := range a.Tensors() {
		for j, x := range t {
			d := x - w.points[w.i]
			gradients[i][j] += scale * float32(w.targets) * (d + 0.01*noise.Float32())
			sum += float64(w.targets) * float64(d) * float64(d) / 2
		}
	}
	if w.calls == w.poisonCall {
		sum += w.poison
	}
	return sum, nil
}

func (w bowlWindow) Loss(ctx context.Context, a *lora.Weights) (float64, error) {
	sum := 0.0
	for _, t := range a.Tensors() {
		for _, x := range t {
			d := float64(x - w.points[w.i])
			sum += float64(w.targets) * d * d / 2
		}
	}
	return sum, ctx.Err()
}

// small returns an adapter of one factor and one row.
func small() *lora.Weights {
	w := &lora.Weights{Layers: make([]lora.Layer, 2), Rows: []lora.Row{{Token: 9, Embedding: []float32{3, 1, 4}}}}
	w.Layers[1][model.Q] = &lora.Factor{Rank: 1, In: 2, Out: 3, A: []float32{5, -2}, B: []float32{0, 0, 0}, Scale: 2}
	return w
}

// smallRecipe takes large steps without a warm-up.
func smallRecipe(steps int) Recipe {
	r := Default()
	r.Steps, r.Batch, r.LR, r.Warmup, r.Seed = steps, 3, 0.2, 0, 11
	return r
}

func equalBits(a, b *lora.Weights) bool {
	x, y := a.Tensors(), b.Tensors()
	for i := range x {
		for j := range x[i] {
			if math.Float32bits(x[i][j]) != math.Float32bits(y[i][j]) {
				return false
			}
		}
	}
	return len(x) == len(y)
}
