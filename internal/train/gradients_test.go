package train

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/fixture"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/trainset"
)

const (
	tinyTarget = 5
	tinyRank   = 3
	tinyScale  = 0.25
)

// tinyMarks are rows behind the vocabulary of the tiny model.
var tinyMarks = &ralm.Marks{Left: 300, Right: 301}

// tinyWindow returns a window with four strides: of two passages, of one, of the
// first's passage again, and of none.
func tinyWindow() trainset.Window {
	r := rand.New(rand.NewPCG(7, 7))
	some := func(n int) []int32 {
		t := make([]int32, n)
		for i := range t {
			t[i] = int32(r.IntN(300))
		}
		return t
	}
	w := trainset.Window{Document: "tiny", Tokens: some(60)}
	a, b, c := trainset.Passage{Tokens: some(19)}, trainset.Passage{Tokens: some(7)}, trainset.Passage{Tokens: some(11)}
	w.Strides = []trainset.Stride{
		{Context: 9, Passages: []trainset.Passage{a, b}},
		{Context: 23, Passages: []trainset.Passage{c}},
		{Context: 38, Passages: []trainset.Passage{a, c}},
		{Context: 50},
	}
	return w
}

// randomAdapter returns an adapter of every target with random factors and marks.
func randomAdapter(c model.Config, seed uint64) *lora.Weights {
	r := rand.New(rand.NewPCG(seed, 3))
	random := func(n int, dev float64) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(dev * r.NormFloat64())
		}
		return x
	}
	w := &lora.Weights{Layers: make([]lora.Layer, c.Layers)}
	for i := range w.Layers {
		for _, s := range c.Block() { // projections in the order of their roles
			if s.Role.Projection() {
				w.Layers[i][s.Role] = &lora.Factor{Rank: tinyRank, In: s.Cols, Out: s.Rows, Scale: 2, A: random(tinyRank*s.Cols, 0.1), B: random(s.Rows*tinyRank, 0.1)}
			}
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
	again, err := placement.Virtual.WithEcho(4)
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
		{"none", placement.None, 1, nil},
		{"prepend", placement.Prepend, 1, tinyMarks},
		{"append", placement.Append, 1, tinyMarks},
		{"append echo", echo, 1, tinyMarks},
		{"virtual", placement.Virtual, 1, tinyMarks},
		{"virtual 2", placement.Virtual, 2, nil},
		{"virtual echo", again, 1, tinyMarks},
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
func gradients(t *testing.T, m *Model, w trainset.Window, p placement.Placement, k int, marks *ralm.Marks, a *lora.Weights, drop Dropout, activated bool) (float64, *lora.Weights) {
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

// A step along the gradient changes the loss by the gradient's square: central
// differences of the loss, whose own rounding allows about three digits.
func TestGradientsMatchDifferences(t *testing.T) {
	w := modeltest.Tiny(1)
	m := newModel(t, w, 2)
	for _, l := range layouts() {
		for _, drop := range []Dropout{{}, {P: 0.2, Seed: 3}} {
			for _, activated := range []bool{false, true} {
				t.Run(fmt.Sprint(l.name, " activated ", activated, " dropout ", drop.P), func(t *testing.T) {
					at := func(a *lora.Weights) (float64, *lora.Weights) {
						return gradients(t, m, tinyWindow(), l.p, l.k, l.marks, a, drop, activated)
					}
					_, g := at(randomAdapter(w.Config, 2))
					for i, grad := range g.Tensors() {
						var square float64
						for _, v := range grad {
							square += float64(v) * float64(v)
						}
						if square == 0 {
							continue
						}
						step := 2e-3 / math.Sqrt(square)
						moved := func(sign float64) float64 {
							a := randomAdapter(w.Config, 2)
							x := a.Tensors()[i]
							for j := range x {
								x[j] += float32(sign * step * float64(grad[j]))
							}
							loss, _ := at(a)
							return loss
						}
						got, want := (moved(1)-moved(-1))/(2*step)*tinyScale, square
						if math.Abs(got-want) > 1e-2*want {
							t.Errorf("tensor %d: the loss changes by %v along a gradient of square %v", i, got, want)
						}
					}
					if activated && l.name == "none" && slices.ContainsFunc(g.Tensors(), func(x []float32) bool { return slices.ContainsFunc(x, func(v float32) bool { return v != 0 }) }) {
						t.Error("gradients where the adapter applies nowhere")
					}
				})
			}
		}
	}
}

// Loss is what Gradients returns without dropout, and of no adapter that of one which
// adds nothing.
func TestLoss(t *testing.T) {
	w := modeltest.Tiny(1)
	m := newModel(t, w, 2)
	packed, err := Pack(tinyWindow(), placement.Append, 1, nil, tinyTarget)
	if err != nil {
		t.Fatal(err)
	}
	a := randomAdapter(w.Config, 2)
	want, _ := gradients(t, m, tinyWindow(), placement.Append, 1, nil, a, Dropout{}, false)
	if got, err := m.Loss(context.Background(), packed, a, false); err != nil || got != want {
		t.Errorf("loss %v (%v), with gradients %v", got, err, want)
	}
	base, err := m.Loss(context.Background(), packed, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.Loss(context.Background(), packed, a.Like(), false); err != nil || got != base {
		t.Errorf("loss %v (%v) with factors of zero, %v of the base model", got, err, base)
	}
}

// peft returns the model of tools/reference/gradients.py and its adapter.
func peft() (*model.Weights, *lora.Weights) {
	c := model.Config{
		Family: "llama", Name: "small", Layers: 2, Hidden: 32, Heads: 4, KVHeads: 2, HeadDim: 8,
		FF: 48, Context: 2048, Vocab: 64, RopeBase: 10000, NormEps: 1e-5,
	}
	w := &model.Weights{Config: c, Layers: make([]model.Tensors, c.Layers)}
	a := &lora.Weights{Layers: make([]lora.Layer, c.Layers)}
	names := map[model.Role]string{
		model.Embedding: "embedding", model.OutputNorm: "norm", model.Head: "head", model.AttnNorm: "attn_norm", model.FFNorm: "ff_norm",
	}
	for s, m := range w.All() {
		name, scale, mean := names[s.Role], float32(0.2), float32(1) // a norm
		switch {
		case s.Role == model.Embedding:
			scale, mean = 1, 0
		case s.Role == model.Head:
			scale, mean = 0.5, 0
		case s.Role == model.OutputNorm:
		case s.Role.Projection():
			name, scale, mean = fmt.Sprintf("%d.%v_proj", s.Layer, s.Role), 0.5, 0
			a.Layers[s.Layer][s.Role] = &lora.Factor{
				Rank: tinyRank, In: s.Cols, Out: s.Rows, Scale: 2,
				A: fixture.Noise(name+".A", tinyRank*s.Cols, 0.3, 0),
				B: fixture.Noise(name+".B", s.Rows*tinyRank, 0.3, 0),
			}
		default:
			name = fmt.Sprintf("%d.%s", s.Layer, name)
		}
		*m = tensor.Matrix{Name: name, Type: tensor.F32, Rows: s.Rows, Cols: s.Cols}
		for _, v := range fixture.Noise(name, s.Rows*s.Cols, scale, mean) {
			m.Data = binary.LittleEndian.AppendUint32(m.Data, math.Float32bits(v))
		}
	}
	marks := fixture.Noise("marks", 2*c.Hidden, 1, 0)
	a.Rows = []lora.Row{{Token: 64, Embedding: marks[:c.Hidden]}, {Token: 65, Embedding: marks[c.Hidden:]}}
	return w, a
}

// PEFT computes each stride as a sequence of its own through a dense mask. In f32 the
// two differ by some 1e-6.
func TestGradientsMatchPEFT(t *testing.T) {
	want := fixture.Load(t, "testdata/gradients.safetensors")
	w, a := peft()
	window := trainset.Window{Document: "peft", Tokens: fixture.Tokens("window", 60, 64)}
	p := func(n int) trainset.Passage {
		return trainset.Passage{Tokens: fixture.Tokens(fmt.Sprint("passage ", n), n, 64)}
	}
	window.Strides = []trainset.Stride{
		{Context: 9, Passages: []trainset.Passage{p(19), p(7)}},
		{Context: 23, Passages: []trainset.Passage{p(11)}},
		{Context: 38, Passages: []trainset.Passage{p(19), p(11)}},
		{Context: 50},
	}
	m := newModel(t, w, 2)
	for _, l := range layouts() {
		for _, activated := range []bool{false, true} {
			name := l.name
			if activated {
				name += " activated"
			}
			if _, ok := want[name]; !ok {
				continue // none: nothing is adapted then
			}
			t.Run(name, func(t *testing.T) {
				adapter := &lora.Weights{Layers: a.Layers}
				var marks *ralm.Marks
				if l.marks != nil {
					marks, adapter.Rows = &ralm.Marks{Left: 64, Right: 65}, a.Rows
				}
				loss, g := gradients(t, m, window, l.p, l.k, marks, adapter, Dropout{}, activated)
				fixture.Close(t, "loss", []float32{float32(loss)}, want[name+" loss"], 1e-5)
				at := 0
				for i, x := range g.Tensors() {
					fixture.Close(t, fmt.Sprint("tensor ", i), x, want[name][at:at+len(x)], 1e-4)
					at += len(x)
				}
				if at != len(want[name]) {
					t.Errorf("%d numbers, PEFT has %d", at, len(want[name]))
				}
			})
		}
	}
}

func sum(a, b *lora.Weights) *lora.Weights {
	for i, x := range b.Tensors() {
		for j, v := range x {
			a.Tensors()[i][j] += v
		}
	}
	return a
}

// The gradients of a packed window are the sums of those of its strides alone.
func TestPackedEqualsUnpacked(t *testing.T) {
	w := modeltest.Tiny(1)
	m := newModel(t, w, 2)
	a := randomAdapter(w.Config, 2)
	for _, l := range layouts() {
		for _, activated := range []bool{false, true} {
			window := tinyWindow()
			loss, packed := gradients(t, m, window, l.p, l.k, l.marks, a, Dropout{}, activated)
			alone, apart := a.Like(), 0.0
			for _, s := range tinyWindow().Strides {
				window.Strides = []trainset.Stride{s}
				one, g := gradients(t, m, window, l.p, l.k, l.marks, a, Dropout{}, activated)
				alone, apart = sum(alone, g), apart+one
			}
			if math.Abs(loss-apart) > 1e-5*apart {
				t.Errorf("%s: loss %v packed, %v unpacked", l.name, loss, apart)
			}
			for i, x := range packed.Tensors() {
				fixture.Close(t, fmt.Sprint(l.name, " activated ", activated, " tensor ", i), x, alone.Tensors()[i], 1e-5)
			}
		}
	}
}

// Neither the threads nor what is kept from the forward pass change a bit.
func TestGradientsAreReproducible(t *testing.T) {
	t.Run("f32", func(t *testing.T) { testReproducible(t, false) })
	t.Run("rounded", func(t *testing.T) { testReproducible(t, true) })
}

func testReproducible(t *testing.T, fast bool) {
	w := modeltest.Tiny(1)
	a := randomAdapter(w.Config, 2)
	for _, l := range layouts() {
		var want *lora.Weights
		var loss float64
		for _, threads := range []int{1, 2, 3} {
			m := newModel(t, w, threads)
			if threads == 3 {
				m.TapeBytes = 0
			}
			if fast && m.UseRounding() == "" {
				t.Skip("no product is faster than f32 here")
			}
			got, g := gradients(t, m, tinyWindow(), l.p, l.k, l.marks, a, Dropout{P: 0.3, Seed: 5}, false)
			if want == nil {
				want, loss = g, got
			}
			if got != loss || !slices.EqualFunc(g.Tensors(), want.Tensors(), slices.Equal) {
				t.Errorf("%s: %d threads give other bits", l.name, threads)
			}
		}
	}
}

// Products in bf16 round numbers to 2^-9 of themselves. Random weights of the tiny model
// make up to 11 % of the gradient of it; a real model's moves by 2 %
// (docs/performance.md). Those in i16 round to 2^-13 of the largest number beside.
func TestRoundedGradients(t *testing.T) {
	w := modeltest.Tiny(1)
	m, rounded := newModel(t, w, 2), newModel(t, w, 2)
	name := rounded.UseRounding()
	lossTolerance, tolerance := 1e-2, 0.15
	switch name {
	case "":
		t.Skip("no product is faster than f32 here")
	case "i16":
		lossTolerance, tolerance = 1e-3, 0.03
	}
	a := randomAdapter(w.Config, 2)
	for _, l := range layouts() {
		loss, want := gradients(t, m, tinyWindow(), l.p, l.k, l.marks, a, Dropout{}, false)
		near, got := gradients(t, rounded, tinyWindow(), l.p, l.k, l.marks, a, Dropout{}, false)
		if d := math.Abs(near/loss - 1); d == 0 || d > lossTolerance {
			t.Errorf("%s: loss %v in %s, %v in f32", l.name, near, name, loss)
		}
		fixture.Close(t, l.name, slices.Concat(got.Tensors()...), slices.Concat(want.Tensors()...), tolerance)
	}
}

// Adapters may change some projections of some layers only: their gradients are those
// that they have beside factors that add nothing.
func TestGradientsOfFewFactors(t *testing.T) {
	w := modeltest.Tiny(1)
	m := newModel(t, w, 2)
	for _, targets := range [][]model.Role{{model.Q, model.V}, {model.O}, {model.Down}, {model.Gate}} {
		few, all := randomAdapter(w.Config, 2), randomAdapter(w.Config, 2)
		few.Rows = nil
		few.Layers[0] = lora.Layer{}
		for i := range all.Layers {
			for t, f := range all.Layers[i] {
				if i == 0 || !slices.Contains(targets, model.Role(t)) {
					clear(f.B)
					few.Layers[i][t] = nil
				}
			}
		}
		lossFew, gotFew := gradients(t, m, tinyWindow(), placement.Append, 1, nil, few, Dropout{}, false)
		lossAll, gotAll := gradients(t, m, tinyWindow(), placement.Append, 1, nil, all, Dropout{}, false)
		if math.Abs(lossFew-lossAll) > 1e-5*lossAll {
			t.Errorf("%v: loss %v, %v with factors that add nothing", targets, lossFew, lossAll)
		}
		for _, target := range targets {
			f, g := gotFew.Layers[1][target], gotAll.Layers[1][target]
			fixture.Close(t, fmt.Sprint(target, " A"), f.A, g.A, 1e-5)
			fixture.Close(t, fmt.Sprint(target, " B"), f.B, g.B, 1e-5)
		}
	}
}

// Gradients through quantised weights are those through their f32 expansion.
func TestGradientsThroughQuantisedWeights(t *testing.T) {
	stored, expanded := modeltest.Tiny(1), modeltest.Tiny(1)
	for i := range stored.Layers {
		for r := range model.Projections {
			quantise(&stored.Layers[i][r], &expanded.Layers[i][r])
		}
	}
	a := randomAdapter(stored.Config, 2)
	loss, got := gradients(t, newModel(t, stored, 2), tinyWindow(), placement.Virtual, 1, tinyMarks, a, Dropout{}, false)
	same, want := gradients(t, newModel(t, expanded, 2), tinyWindow(), placement.Virtual, 1, tinyMarks, a, Dropout{}, false)
	if loss != same || !slices.EqualFunc(got.Tensors(), want.Tensors(), slices.Equal) {
		t.Error("Q4_1 weights give other gradients than their f32 expansion")
	}
}

// quantise makes m Q4_1 by a coarse rounding, and e its expansion.
func quantise(m, e *tensor.Matrix) {
	var blocks, wide []byte
	for at := 0; at < m.Rows*m.Cols; at += 32 {
		const scale, low = 0.125, -1 // 0x3000 and 0xbc00 in half precision
		block := []byte{0x00, 0x30, 0x00, 0xbc}
		var codes [32]byte
		for i := range codes {
			v := math.Float32frombits(binary.LittleEndian.Uint32(m.Data[(at+i)*4:]))
			codes[i] = byte(min(15, max(0, math.Round(float64((v-low)/scale)))))
			wide = binary.LittleEndian.AppendUint32(wide, math.Float32bits(float32(codes[i])*scale+low))
		}
		for i := range 16 {
			block = append(block, codes[i]|codes[i+16]<<4)
		}
		blocks = append(blocks, block...)
	}
	m.Type, m.Data, e.Data = tensor.Q4_1, blocks, wide
}

func TestGradientsRefuse(t *testing.T) {
	w := modeltest.Tiny(1)
	m := newModel(t, w, 1)
	packed, err := Pack(tinyWindow(), placement.Append, 1, tinyMarks, tinyTarget)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(a *lora.Weights){
		"no embedding": func(a *lora.Weights) { a.Rows = nil },
		"layers":       func(a *lora.Weights) { a.Layers = a.Layers[:1] },
		"factor of k ": func(a *lora.Weights) { a.Layers[1][model.K].In = 1 << 30 },
		"rank":         func(a *lora.Weights) { a.Layers[0][model.Q].Rank = 1 << 31 },
		"embedding of": func(a *lora.Weights) { a.Rows[0].Embedding = nil },
	} {
		a := randomAdapter(w.Config, 2)
		into := a.Like()
		change(a)
		if _, err := m.Gradients(context.Background(), packed, a, into, 1, Dropout{}, false); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want an error about %q, got %v", name, err)
		}
	}
	a := randomAdapter(w.Config, 2)
	if _, err := m.Gradients(context.Background(), packed, a, a.Like(), 1, Dropout{P: 1}, false); err == nil {
		t.Error("dropout of everything is accepted")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Loss(ctx, packed, a, false); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context gives %v", err)
	}
}
