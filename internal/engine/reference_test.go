package engine

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/flashback-lm/flashback/internal/hub/hubtest"
	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
)

// tolerance is the largest difference of a logit from transformers' in f32. Two
// f32 implementations that sum in another order differ by some 1e-4 on this
// model; a wrong position, mask or rounding of a weight shows up far above 2e-3.
const tolerance = 2e-3

// fixture is a pair of NAME.json and NAME.bin written by tools/reference.
type fixture struct {
	dir, name string
	Cases     []struct {
		Placement string    `json:"placement"`
		Echo      int       `json:"echo"`
		Context   []int32   `json:"context"`
		Evidence  [][]int32 `json:"evidence"`
		Target    []int32   `json:"target"`
		LogProbs  []float64 `json:"logprobs"`
	} `json:"cases"`
	Tensors []struct {
		Name   string `json:"name"`
		Shape  []int  `json:"shape"`
		Offset int    `json:"offset"`
	} `json:"tensors"`
}

func readFixture(t *testing.T, name string) *fixture {
	t.Helper()
	f := &fixture{dir: "testdata", name: name}
	raw, err := os.ReadFile(filepath.Join(f.dir, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, f); err != nil {
		t.Fatal(err)
	}
	return f
}

// raw returns the 32-bit words of a tensor.
func (f *fixture) raw(t *testing.T, name string) []uint32 {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(f.dir, f.name+".bin"))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range f.Tensors {
		if x.Name != name {
			continue
		}
		n := 1
		for _, d := range x.Shape {
			n *= d
		}
		out := make([]uint32, n)
		for i := range out {
			out[i] = binary.LittleEndian.Uint32(data[x.Offset+i*4:])
		}
		return out
	}
	t.Fatalf("fixture %s has no tensor %q", f.name, name)
	return nil
}

func (f *fixture) ints(t *testing.T, name string) []int32 {
	words := f.raw(t, name)
	out := make([]int32, len(words))
	for i, w := range words {
		out[i] = int32(w)
	}
	return out
}

func (f *fixture) floats(t *testing.T, name string) []float32 {
	words := f.raw(t, name)
	out := make([]float32, len(words))
	for i, w := range words {
		out[i] = math.Float32frombits(w)
	}
	return out
}

// newReal opens the real model; with -short, as under the race detector, the test
// is skipped.
func newReal(t testing.TB, opt Options) *Engine {
	t.Helper()
	if testing.Short() {
		t.Skip("the real model takes too long for -short")
	}
	m, err := model.Load(hubtest.Model(t))
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(&m.Weights, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(); m.Close() })
	return e
}

func TestLogitsAgreeWithTransformers(t *testing.T) {
	e := newReal(t, Options{Compute: Exact})
	f := readFixture(t, "logits")
	ids, probes := f.ints(t, "ids"), f.ints(t, "probes")
	argmax, margin := f.ints(t, "argmax"), f.floats(t, "margin")
	logsumexp, logits := f.floats(t, "logsumexp"), f.floats(t, "logits")

	s := e.NewSequence()
	defer s.Close()
	if err := s.Append(ids[0]); err != nil {
		t.Fatal(err)
	}
	var worst float64
	agreed, pos := 0, 0
	target := append(ids[1:len(ids):len(ids)], 0) // also the logits of the last position
	err := s.Logits(context.Background(), placement.None, nil, target, func(row []float32) {
		for i, p := range probes {
			d := math.Abs(float64(row[p] - logits[pos*len(probes)+i]))
			worst = max(worst, d)
		}
		if got := greedy(row); got == argmax[pos] {
			agreed++
		} else if margin[pos] > tolerance {
			t.Errorf("position %d: argmax %d, transformers has %d by a margin of %g", pos, got, argmax[pos], margin[pos])
		}
		if d := math.Abs(logSumExp(row) - float64(logsumexp[pos])); d > tolerance {
			t.Errorf("position %d: logsumexp differs by %g", pos, d)
		}
		pos++
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d positions with %s: largest difference of a logit %.2g, argmax equal at %d", pos, e.Device().Info().Kernels, worst, agreed)
	if pos != len(ids) || worst > tolerance {
		t.Fatalf("largest difference %g over %d positions, want at most %g over %d", worst, pos, tolerance, len(ids))
	}
}

func logSumExp(row []float32) float64 {
	top := float64(row[greedy(row)])
	sum := 0.0
	for _, l := range row {
		sum += math.Exp(float64(l) - top)
	}
	return top + math.Log(sum)
}

func TestPlacementsAgreeWithTransformers(t *testing.T) {
	e := newReal(t, Options{Compute: Exact})
	f := readFixture(t, "placements")
	probes, logits := f.ints(t, "probes"), f.floats(t, "logits")
	at := 0
	worst := map[string]float64{}
	for i, c := range f.Cases {
		p, err := placement.Parse(c.Placement)
		if err != nil {
			t.Fatal(err)
		}
		p.Echo = c.Echo
		var ev []lm.Evidence
		for _, tokens := range c.Evidence {
			ev = append(ev, lm.Evidence{Tokens: tokens, Weight: 1})
		}
		s := e.NewSequence()
		if err := s.Append(c.Context...); err != nil {
			t.Fatal(err)
		}
		var logProbs []float64
		n := 0
		err = s.Logits(context.Background(), p, ev, c.Target, func(row []float32) {
			for _, probe := range probes {
				worst[c.Placement] = max(worst[c.Placement], math.Abs(float64(row[probe]-logits[at])))
				at++
			}
			logProbs = append(logProbs, float64(row[c.Target[n]])-logSumExp(row))
			n++
		})
		if err != nil {
			t.Fatalf("case %d: %v", i, err)
		}
		for j, want := range c.LogProbs {
			if d := math.Abs(logProbs[j] - want); d > tolerance {
				t.Errorf("case %d, %s, %d context tokens: target %d scores %.5f, transformers has %.5f", i, c.Placement, len(c.Context), j, logProbs[j], want)
			}
		}
		scores, err := s.Score(context.Background(), p, ev, c.Target)
		if err != nil {
			t.Fatal(err)
		}
		for j := range scores {
			if math.Abs(scores[j]-logProbs[j]) > 1e-9 {
				t.Fatalf("case %d: Score gives %v, its logits %v", i, scores[j], logProbs[j])
			}
		}
		s.Close()
	}
	for name, d := range worst {
		t.Logf("%s: largest difference of a logit %.2g", name, d)
		if d > tolerance {
			t.Errorf("%s: largest difference %g, want at most %g", name, d, tolerance)
		}
	}
}
