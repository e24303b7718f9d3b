package train

import (
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/flashback-lm/flashback/internal/fixture"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/oracle"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/sample"
	"github.com/flashback-lm/flashback/internal/trainset"
)

// What tools/reference/family_gradients.py adapts.
const familyRank = 2

// familyNames returns PEFT's names of the factors of a projection.
func familyNames(s model.Spec) (a, b string) {
	name := "base_model.model." + s.Module()
	return name + ".lora_A.weight", name + ".lora_B.weight"
}

// familyAdapter returns an adapter of every projection, of the script's noise.
func familyAdapter(c model.Config) *lora.Weights {
	w := &lora.Weights{Layers: make([]lora.Layer, c.Layers)}
	for i := range w.Layers {
		for _, s := range c.Block() {
			if !s.Role.Projection() {
				continue
			}
			s = s.In(i)
			nameA, nameB := familyNames(s)
			rows, _ := s.Stored()
			b := fixture.Noise(nameB, rows*familyRank, 0.3, 0)[s.First*familyRank:][:s.Rows*familyRank]
			w.Layers[i][s.Role] = &lora.Factor{
				Rank: familyRank, In: s.Cols, Out: s.Rows, Scale: 2,
				A: fixture.Noise(nameA, familyRank*s.Cols, 0.3, 0), B: s.FromHuggingFace(b, familyRank),
			}
		}
	}
	return w
}

// TestFamiliesGradientsMatchPEFT: of every family's tiny model, the loss and the gradients
// of all factors. PEFT has one factor where a family's file has several projections in one
// tensor: the gradients of its A are the sums of theirs, and its B has theirs one behind
// the other.
func TestFamiliesGradientsMatchPEFT(t *testing.T) {
	for _, name := range modeltest.Families(t) {
		t.Run(name, func(t *testing.T) {
			want := fixture.Load(t, filepath.Join("testdata", "families", name+".safetensors"))
			w := modeltest.Family(t, name)
			window := trainset.Window{Document: "family", Tokens: fixture.Tokens("family", 120, w.Config.Vocab), Strides: []trainset.Stride{{Context: 60}, {Context: 110}}}
			loss, g := gradients(t, newModel(t, &w.Weights, 1), window, placement.None, 1, nil, familyAdapter(w.Config), Dropout{}, false)
			fixture.Close(t, "loss", []float32{float32(loss)}, want["loss"], 1e-5)
			delete(want, "loss")
			delete(want, "logits")
			got := map[string][]float32{}
			for i := range g.Layers {
				for _, s := range w.Config.Block() {
					if !s.Role.Projection() {
						continue
					}
					s = s.In(i)
					f := g.Layers[i][s.Role]
					nameA, nameB := familyNames(s)
					if got[nameA] == nil {
						got[nameA] = make([]float32, len(f.A))
					}
					for j, v := range f.A {
						got[nameA][j] += v
					}
					got[nameB] = append(got[nameB], s.ToHuggingFace(f.B, familyRank)...)
				}
			}
			worst := 0.0
			for key, x := range want {
				fixture.Close(t, key, got[key], x, 1e-4)
				worst = max(worst, fixture.Distance(got[key], x))
			}
			if len(got) != len(want) {
				t.Errorf("%d tensors, PEFT has %d", len(got), len(want))
			}
			t.Logf("largest difference %.1e", worst)
		})
	}
}

// TestFamiliesGradientsMatchDifferences: with evidence in sight, marks, and rows that are
// constants, as TestGradientsMatchDifferences.
func TestFamiliesGradientsMatchDifferences(t *testing.T) {
	mark := tinyMarks
	for _, name := range modeltest.Families(t) {
		w := modeltest.Family(t, name)
		m := newModel(t, &w.Weights, 2)
		for _, p := range []placement.Placement{placement.Virtual.For(w.Config.Positions > 0, placement.DefaultReserve), placement.Append} {
			t.Run(name+" "+p.Name, func(t *testing.T) {
				adapter := func() *lora.Weights {
					a := familyAdapter(w.Config)
					r := rand.New(rand.NewPCG(5, 5))
					for _, token := range []int32{mark.Left, mark.Right} {
						row := make([]float32, w.Config.Embedded())
						for i := range row {
							row[i] = float32(r.NormFloat64() / 3)
						}
						a.Rows = append(a.Rows, lora.Row{Token: token, Embedding: row})
					}
					return a
				}
				at := func(a *lora.Weights) (float64, *lora.Weights) {
					return gradients(t, m, tinyWindow(), p, 1, mark, a, Dropout{}, p.Name == "virtual")
				}
				_, g := at(adapter())
				// One step along all gradients, and one along those of the marks.
				tensors := g.Tensors()
				for what, from := range map[string]int{"all": 0, "marks": len(tensors) - 2} {
					var square float64
					for _, x := range tensors[from:] {
						for _, v := range x {
							square += float64(v) * float64(v)
						}
					}
					step := 1e-3 / math.Sqrt(square)
					moved := func(sign float64) float64 {
						a := adapter()
						for i, x := range a.Tensors()[from:] {
							for j := range x {
								x[j] += float32(sign * step * float64(tensors[from+i][j]))
							}
						}
						packed, err := Pack(tinyWindow(), p, 1, mark, tinyTarget)
						if err != nil {
							t.Fatal(err)
						}
						loss, err := m.Loss(context.Background(), packed, a, p.Name == "virtual")
						if err != nil {
							t.Fatal(err)
						}
						return loss
					}
					got := (moved(1) - moved(-1)) / (2 * step) * tinyScale
					if !(math.Abs(got-square) <= 1e-2*square) {
						t.Errorf("%s: the loss changes by %v along a gradient of square %v", what, got, square)
					}
				}
			})
		}
	}
}

// TestFamiliesLossIsTheOracles: of the model alone, in every placement that is trained,
// windows and reserves among them.
func TestFamiliesLossIsTheOracles(t *testing.T) {
	for _, name := range modeltest.Families(t) {
		w := modeltest.Family(t, name)
		m := newModel(t, &w.Weights, 2)
		for _, l := range layouts() {
			p := l.p.For(w.Config.Positions > 0, placement.DefaultReserve)
			packed, err := Pack(tinyWindow(), p, l.k, nil, tinyTarget)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.Loss(context.Background(), packed, nil, false)
			if err != nil {
				t.Fatal(err)
			}
			want := 0.0
			for _, s := range tinyWindow().Strides {
				var evidence [][]int32
				for _, passage := range s.Passages[:min(l.k, len(s.Passages))] {
					evidence = append(evidence, passage.Tokens)
				}
				target := tinyWindow().Tokens[s.Context:][:tinyTarget]
				rows, err := oracle.New(&w.Weights).Logits(context.Background(), p, tinyWindow().Tokens[:s.Context], evidence, target)
				if err != nil {
					t.Fatal(err)
				}
				for i, row := range rows {
					want += sample.LogSumExp(row) - float64(row[target[i]])
				}
			}
			if !(math.Abs(got-want) <= 1e-4*want) {
				t.Errorf("%s, %s: loss %v, the oracle's %v", name, l.name, got, want)
			}
		}
	}
}
