package engine

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/oracle"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// adapter returns an adapter of the tiny model on every projection, with marks,
// that changes its logits a good deal.
func adapter(activated bool, seed uint64) *lora.Adapter {
	w := modeltest.Tiny(1)
	a := lora.New(lora.Config{Rank: 5, Alpha: 4, Targets: []model.Role{model.Q, model.K, model.V, model.O, model.Gate, model.Up, model.Down}}, lora.ShapeOf(w), seed)
	a.AddMarks(quant.MeanRow(w.Tensors[model.Embedding]), seed)
	r := rand.New(rand.NewPCG(seed, 3))
	for _, tensor := range a.Tensors() {
		for i := range tensor {
			tensor[i] += float32(0.1 * r.NormFloat64())
		}
	}
	a.Info.Activated = activated
	return a
}

func load(t testing.TB, e *Engine, a *lora.Adapter) *Adapter {
	t.Helper()
	loaded, err := e.LoadAdapter(a)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// marked is random evidence between the marks.
func marked(r *rand.Rand, n int) []lm.Evidence {
	return []lm.Evidence{{Tokens: append(append([]int32{300}, randomTokens(r, n)...), 301), Weight: 1}}
}

// follow generates three strides and returns a description of the first logits that
// are not those of recomputing, bit for bit, or of the oracle, within 2e-4: both sum
// at most a hundred products of order 1 in f32, in other orders.
func follow(t testing.TB, s *Sequence, a *Adapter, p placement.Placement, evidence []lm.Evidence) string {
	t.Helper()
	ctx := context.Background()
	check := oracle.New(s.e.weights).With(a.Source())
	for stride := range 3 {
		text := slices.Clone(s.Tokens())
		var logits [][]float32
		sampled, err := s.Continue(ctx, p, evidence, 5, pick(func(row []float32) int32 {
			logits = append(logits, slices.Clone(row))
			return greedy(row)
		}), nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := a.Recompute(ctx, p, text, evidence, sampled)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := check.Recompute(ctx, p, text, evidence, sampled)
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range logits {
			for j, l := range row {
				if math.Float32bits(l) != math.Float32bits(again[i][j]) {
					return fmt.Sprintf("stride %d, token %d, logit %d: %v, recomputed %v", stride, i, j, l, again[i][j])
				}
				if s.e.compute == Exact && math.Abs(float64(l-plain[i][j])) > 2e-4*max(1, math.Abs(float64(l))) {
					return fmt.Sprintf("stride %d, token %d, logit %d: %v, the oracle %v", stride, i, j, l, plain[i][j])
				}
			}
		}
	}
	return ""
}

func TestAdaptersAreExact(t *testing.T) {
	for _, opt := range computePaths() {
		e := newTiny(t, opt)
		for _, activated := range []bool{false, true} {
			a := load(t, e, adapter(activated, 1))
			for name, p := range layouts(t) {
				t.Run(fmt.Sprintf("%s-%s/activated=%v/%s", opt.Kernels, opt.Compute, activated, name), func(t *testing.T) {
					r := rand.New(rand.NewPCG(1, 1))
					s := e.NewSequence()
					defer s.Close()
					if err := s.SetAdapter(a); err != nil {
						t.Fatal(err)
					}
					if err := s.Append(randomTokens(r, 40)...); err != nil {
						t.Fatal(err)
					}
					if fault := follow(t, s, a, p, marked(r, 35)); fault != "" {
						t.Error(fault)
					}
				})
			}
		}
	}
}

// TestAdaptersAreKeptApart puts the same passage beside the same text with other
// adapters and with none: kept evidence must never cross. Then it lets it cross,
// which must be seen.
func TestAdaptersAreKeptApart(t *testing.T) {
	e := newTiny(t, Options{Compute: Exact})
	r := rand.New(rand.NewPCG(2, 2))
	text, evidence := randomTokens(r, 40), marked(r, 35)
	begin := func(a *Adapter) *Sequence {
		s := e.NewSequence()
		t.Cleanup(s.Close)
		if err := s.SetAdapter(a); err != nil {
			t.Fatal(err)
		}
		if err := s.Append(text...); err != nil {
			t.Fatal(err)
		}
		return s
	}
	for i, a := range []*lora.Adapter{adapter(false, 1), adapter(false, 2), adapter(true, 1), adapter(false, 1)} {
		loaded := load(t, e, a)
		if fault := follow(t, begin(loaded), loaded, placement.Virtual, evidence); fault != "" {
			t.Errorf("adapter %d: %s", i, fault)
		}
	}
	other := load(t, e, adapter(false, 3))
	key := keptKey{digestOf(other), frame{}, "", -len(evidence[0].Tokens), text[0], bytesOf(evidence[0].Tokens)}
	for stranger, el := range e.kept.spans {
		if stranger.tokens == key.tokens {
			e.kept.spans[key] = el // as if the key had no digest
			break
		}
	}
	if follow(t, begin(other), other, placement.Virtual, evidence) == "" {
		t.Error("evidence kept for another adapter was read, and nothing was seen")
	}
}

// TestActivatedSharesTheContext says that sequences of one text may go from one
// activated adapter to another, and to none, without encoding the context again.
func TestActivatedSharesTheContext(t *testing.T) {
	e := newTiny(t, Options{Compute: Exact})
	r := rand.New(rand.NewPCG(4, 4))
	s := e.NewSequence()
	defer s.Close()
	if err := s.Append(randomTokens(r, 40)...); err != nil {
		t.Fatal(err)
	}
	evidence := marked(r, 20)
	score := func() {
		if _, err := s.Score(context.Background(), placement.Virtual, evidence, []int32{1, 2}); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range []struct {
		a    *Adapter
		kept int // context tokens whose KV the change of adapter keeps: all but the echo
	}{
		{load(t, e, adapter(true, 1)), 0},
		{load(t, e, adapter(true, 2)), 39},
		{load(t, e, adapter(false, 1)), 0},
		{load(t, e, adapter(false, 1)), 39}, // the same content
	} {
		if err := s.SetAdapter(c.a); err != nil {
			t.Fatal(err)
		}
		if s.context.Len() != c.kept {
			t.Errorf("change %d kept %d context tokens, want %d", i, s.context.Len(), c.kept)
		}
		score()
	}
	fork := s.Fork()
	defer fork.Close()
	if fork.adapter != s.adapter {
		t.Error("a fork has another adapter")
	}
}

// TestBatchMixesAdapters encodes rows of two adapters and of none in one batch:
// each must have the bits that it has alone.
func TestBatchMixesAdapters(t *testing.T) {
	e := newTiny(t, Options{Compute: Exact, BatchTokens: 64})
	r := rand.New(rand.NewPCG(5, 5))
	adapters := []*Adapter{load(t, e, adapter(false, 1)), nil, load(t, e, adapter(false, 2))}
	var together []segment
	var got [3][]float32
	for i, a := range adapters {
		span := e.pool.NewSpan(0)
		defer span.Release()
		together = append(together, segment{tokens: randomTokens(r, 13), into: span, adapter: a, logitsFrom: 12,
			emit: func(_ int, logits []float32) { got[i] = slices.Clone(logits) }})
	}
	s := e.NewSequence()
	encode := func(segments []segment) {
		s.fw.segments = segments
		if err := s.forward(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	encode(together)
	mixed := got
	for i := range together {
		together[i].into.Truncate(0)
		encode(together[i : i+1])
		if !slices.Equal(got[i], mixed[i]) {
			t.Errorf("rows of sequence %d depend on the others", i)
		}
	}
}

func TestMarksNeedTheirAdapter(t *testing.T) {
	e := newTiny(t, Options{})
	s := e.NewSequence()
	defer s.Close()
	if err := s.Append(1, 2, 3); err != nil {
		t.Fatal(err)
	}
	evidence := []lm.Evidence{{Tokens: []int32{300, 5, 301}, Weight: 1}}
	if _, err := s.Score(context.Background(), placement.Append, evidence, []int32{1}); err == nil {
		t.Error("a token behind the vocabulary was encoded without an adapter")
	}
	wrong := adapter(false, 1)
	wrong.Shape.Projections[model.Up].Rows++
	if _, err := e.LoadAdapter(wrong); err == nil {
		t.Error("an adapter of another shape was loaded")
	}
}
