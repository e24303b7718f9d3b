package train

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/examples"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
)

const (
	tinyTarget = 5
	tinyScale  = 0.25
)

// tinyMarks are rows behind the vocabulary of the tiny model.
var tinyMarks = &ralm.Marks{Left: 300, Right: 301}

// tinyWindow returns a window with four strides: of two passages, of one, of the
// first's passage again, and of none.
func tinyWindow() examples.Window {
	r := rand.New(rand.NewPCG(7, 7))
	some := func(n int) []int32 {
		t := make([]int32, n)
		for i := range t {
			t[i] = int32(r.IntN(300))
		}
		return t
	}
	w := examples.Window{Document: "tiny", Tokens: some(60)}
	a, b, c := examples.Passage{Tokens: some(19)}, examples.Passage{Tokens: some(7)}, examples.Passage{Tokens: some(11)}
	w.Strides = []examples.Stride{
		{Context: 9, Passages: []examples.Passage{a, b}},
		{Context: 23, Passages: []examples.Passage{c}},
		{Context: 38, Passages: []examples.Passage{a, c}},
		{Context: 50},
	}
	return w
}

// tinyAdapter returns an adapter of every target with random factors and marks.
func tinyAdapter(c model.Config, seed uint64) *lora.Weights {
	r := rand.New(rand.NewPCG(seed, 3))
	random := func(n int, dev float64) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(dev * r.NormFloat64())
		}
		return x
	}
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	shapes := [lora.Targets][2]int{
		lora.Q: {q, c.Hidden}, lora.K: {kv, c.Hidden}, lora.V: {kv, c.Hidden}, lora.O: {c.Hidden, q},
		lora.Gate: {c.FF, c.Hidden}, lora.Up: {c.FF, c.Hidden}, lora.Down: {c.Hidden, c.FF},
	}
	const rank = 3
	w := &lora.Weights{Layers: make([]lora.Layer, c.Layers)}
	for i := range w.Layers {
		for t, s := range shapes {
			w.Layers[i][t] = &lora.Factor{Rank: rank, In: s[1], Out: s[0], Scale: 2, A: random(rank*s[1], 0.1), B: random(s[0]*rank, 0.1)}
		}
	}
	for _, token := range []int32{tinyMarks.Left, tinyMarks.Right} {
		w.Rows = append(w.Rows, lora.Row{Token: token, Embedding: random(c.Hidden, 1)})
	}
	return w
}

// layouts are the placements that training knows.
func layouts() []struct {
	name  string
	p     placement.Placement
	k     int
	marks *ralm.Marks
} {
	echo, err := placement.Append.WithEcho(4)
	if err != nil {
		panic(err)
	}
	type layout = struct {
		name  string
		p     placement.Placement
		k     int
		marks *ralm.Marks
	}
	return []layout{
		{"none", placement.None, 0, nil},
		{"prepend", placement.Prepend, 1, tinyMarks},
		{"append", placement.Append, 1, tinyMarks},
		{"append echo", echo, 1, tinyMarks},
		{"virtual", placement.Virtual, 1, tinyMarks},
		{"virtual 2", placement.Virtual, 2, nil},
	}
}

func newModel(t *testing.T, w *model.Weights, threads int) *Model {
	t.Helper()
	m, err := NewModel(w, threads, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// gradients returns the loss and the gradients of the strides of a window.
func gradients(t *testing.T, m *Model, w examples.Window, p placement.Placement, k int, marks *ralm.Marks, a *lora.Weights, drop Dropout, activated bool) (float64, *lora.Weights) {
	t.Helper()
	packed, err := Pack(w, p, k, marks, tinyTarget)
	if err != nil {
		t.Fatal(err)
	}
	into := a.Like()
	loss, err := m.Gradients(context.Background(), packed, a, into, tinyScale, drop, activated)
	if err != nil {
		t.Fatal(err)
	}
	return loss, into
}

// relative returns ‖a-b‖/‖b‖; 0 where both are 0.
func relative(a, b []float32) float64 {
	var d, n float64
	for i := range a {
		e := float64(a[i]) - float64(b[i])
		d += e * e
		n += float64(b[i]) * float64(b[i])
	}
	if d == 0 {
		return 0
	}
	return math.Sqrt(d / n)
}

// A step along the gradient changes the loss by the gradient's square: central
// differences of the loss, whose own rounding allows about three digits.
func TestGradientsMatchDifferences(t *testing.T) {
	w := modeltest.Tiny(1)
	m := newModel(t, w, 2)
	for _, l := range layouts() {
		for _, activated := range []bool{false, true} {
			t.Run(fmt.Sprint(l.name, " activated ", activated), func(t *testing.T) {
				a := tinyAdapter(w.Config, 2)
				packed, err := Pack(tinyWindow(), l.p, l.k, l.marks, tinyTarget)
				if err != nil {
					t.Fatal(err)
				}
				_, g := gradients(t, m, tinyWindow(), l.p, l.k, l.marks, a, Dropout{}, activated)
				for i, grad := range g.Tensors() {
					var square float64
					for _, v := range grad {
						square += float64(v) * float64(v)
					}
					if square == 0 {
						continue
					}
					step := 2e-3 / math.Sqrt(square)
					at := func(sign float64) float64 {
						moved := tinyAdapter(w.Config, 2)
						x := moved.Tensors()[i]
						for j := range x {
							x[j] += float32(sign * step * float64(grad[j]))
						}
						loss, err := m.Loss(context.Background(), packed, moved, activated)
						if err != nil {
							t.Fatal(err)
						}
						return loss
					}
					got, want := (at(1)-at(-1))/(2*step)*tinyScale, square
					if math.Abs(got-want) > 1e-2*want {
						t.Errorf("tensor %d: the loss changes by %v along a gradient of square %v", i, got, want)
					}
				}
				if activated && l.name == "none" && slices.ContainsFunc(g.Tensors(), func(x []float32) bool { return relative(x, make([]float32, len(x))) != 0 }) {
					t.Error("gradients where the adapter applies nowhere")
				}
			})
		}
	}
}
