package train

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/trainset"
)

// tinySet is a set in memory whose targets repeat a passage, so that reading the
// evidence pays.
type tinySet struct {
	header  trainset.Header
	windows []trainset.Window
}

func (s *tinySet) Header() trainset.Header               { return s.header }
func (s *tinySet) Len() int                              { return len(s.windows) }
func (s *tinySet) Window(i int) (trainset.Window, error) { return s.windows[i], nil }

func newTinySet(windows int) *tinySet {
	s := &tinySet{header: trainset.Header{
		Format: trainset.Format, Windows: windows, Tokenizer: "t", Vocab: 300,
		Options: trainset.Options{Context: 24, Stride: 8, Branches: 2, K: 2, QueryLen: 8, PassageLen: 8},
	}}
	r := rand.New(rand.NewPCG(3, 3))
	for range windows {
		w := trainset.Window{Document: "d", Tokens: make([]int32, 32)}
		for i := range w.Tokens {
			w.Tokens[i] = int32(r.IntN(40))
		}
		for _, at := range []int{8, 24} {
			w.Strides = append(w.Strides, trainset.Stride{Context: at, Passages: []trainset.Passage{
				{ID: "a", Score: 2, Tokens: w.Tokens[at : at+8]}, {ID: "b", Score: 1, Tokens: []int32{7, 8, 9}},
			}})
		}
		s.windows = append(s.windows, w)
	}
	return s
}

// freshAdapter returns an adapter that changes nothing yet, with marks if the recipe
// has them.
func freshAdapter(c model.Config, r Recipe) *lora.Weights {
	a := lora.New(
		lora.Config{Rank: 4, Alpha: 8, Targets: r.Targets},
		lora.ShapeOf(&model.Weights{Config: c}), 5)
	if r.Marks {
		a.AddMarks(make([]float32, c.Hidden), 5)
	}
	return &a.Weights
}

func tinyPacking(t *testing.T, r Recipe) (Packing, *model.Weights) {
	t.Helper()
	w := modeltest.Tiny(1)
	m, err := NewModel(w, 2, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	p := Packing{Model: m, Tokenizer: "t", Context: w.Config.Context, Recipe: r}
	if r.Marks {
		p.Marks = &ralm.Marks{Left: int32(w.Config.Vocab), Right: int32(w.Config.Vocab + 1)}
	}
	return p, w
}

func TestTrainTinyModel(t *testing.T) {
	for _, c := range []struct {
		name             string
		placement        string
		echo, k          int
		marks, activated bool
	}{
		{"virtual, 2 passages", "virtual", 1, 2, false, false},
		{"append, marks, echo", "append", 4, 1, true, false},
		{"append, marks, activated", "append", 0, 1, true, true},
		{"none", "none", 0, 1, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Default()
			r.Placement, r.Echo, r.K, r.Marks, r.Activated = c.placement, c.echo, c.k, c.marks, c.activated
			r.Steps, r.Batch, r.LR, r.EvalEvery = 30, 2, 0.01, 10
			packing, weights := tinyPacking(t, r)
			training, err := packing.Windows(newTinySet(4))
			if err != nil {
				t.Fatal(err)
			}
			var losses, validations []float64
			o := Options{
				Dir: t.TempDir(), Config: Config{Recipe: r}, SaveEvery: 10, Train: training, Validation: training,
				Initial: freshAdapter(weights.Config, r),
				Record: func(r Record) {
					if r.Validation != nil {
						validations = append(validations, *r.Validation)
					} else {
						losses = append(losses, r.Loss)
					}
				},
			}
			run1(t, o)
			if first, last := losses[0]+losses[1], losses[28]+losses[29]; !(last < 0.9*first) {
				t.Errorf("the loss went from %.3f to %.3f over two batches", first/2, last/2)
			}
			if len(validations) != 3 || !(validations[2] < validations[0]) {
				t.Errorf("validations %v", validations)
			}
		})
	}
}

// A set that the model cannot be trained on is refused before any step.
func TestPackingRefuses(t *testing.T) {
	for want, change := range map[string]func(*Packing, *tinySet){
		"another model": func(_ *Packing, s *tinySet) { s.header.Tokenizer = "other" },
		"passages a":    func(p *Packing, _ *tinySet) { p.Recipe.K = 3 },
		"positions":     func(p *Packing, _ *tinySet) { p.Context = 40 },
		"placement":     func(p *Packing, _ *tinySet) { p.Recipe.Placement = "behind" },
	} {
		p := Packing{Tokenizer: "t", Context: 2048, Recipe: Default()}
		s := newTinySet(1)
		change(&p, s)
		if _, err := p.Windows(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

// TestBOSMustMatch: windows with BOS are for models that read it first, and for no others.
func TestBOSMustMatch(t *testing.T) {
	p, _ := tinyPacking(t, Default())
	set := newTinySet(1)
	for _, set.header.BOS = range []bool{false, true} {
		for _, p.BOS = range []bool{false, true} {
			_, err := p.Windows(set)
			if same := set.header.BOS == p.BOS; same != (err == nil) || !same && !strings.Contains(err.Error(), "prepare the examples again") {
				t.Errorf("windows with BOS %v for a model with BOS %v: %v", set.header.BOS, p.BOS, err)
			}
		}
	}
}
