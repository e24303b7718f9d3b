package sample

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// drawn returns the ids that the filters leave, by drawing often.
func drawn(t *testing.T, o Options, logits []float32, text []int32) []int32 {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int32]bool{}
	for range 2000 {
		seen[s.Sample(logits, text)] = true
	}
	var ids []int32
	for id := range seen {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func logsOf(p ...float64) []float32 {
	var logits []float32
	for _, p := range p {
		logits = append(logits, float32(math.Log(p)+3))
	}
	return logits
}

func TestFilters(t *testing.T) {
	logits := logsOf(.1, .4, .05, .2, .25)
	for _, c := range []struct {
		name string
		o    Options
		text []int32
		want []int32
	}{
		{"greedy", Options{}, nil, []int32{1}},
		{"all", Options{Temperature: 1}, nil, []int32{0, 1, 2, 3, 4}},
		{"top-k 1 is greedy", Options{Temperature: 1, TopK: 1}, nil, []int32{1}},
		{"top-k", Options{Temperature: 1, TopK: 3}, nil, []int32{1, 3, 4}},
		{"top-k beyond the vocabulary", Options{Temperature: 1, TopK: 99}, nil, []int32{0, 1, 2, 3, 4}},
		{"top-p keeps the token that reaches it", Options{Temperature: 1, TopP: .6}, nil, []int32{1, 4}},
		{"top-p keeps one at least", Options{Temperature: 1, TopP: 1e-9}, nil, []int32{1}},
		// Of the best three, 1 has .4/.85 = .47: top-p sees what top-k left.
		{"top-p after top-k", Options{Temperature: 1, TopK: 3, TopP: .45}, nil, []int32{1}},
		{"min-p", Options{Temperature: 1, MinP: .45}, nil, []int32{1, 3, 4}},
		{"min-p 1", Options{Temperature: 1, MinP: 1}, nil, []int32{1}},
		// Hot enough to flatten the distribution: the cuts came before.
		{"temperature last", Options{Temperature: 100, TopP: .6}, nil, []int32{1, 4}},
		{"penalty", Options{RepeatPenalty: 2, RepeatLast: 2}, []int32{1, 1}, []int32{4}},
		{"penalty forgets", Options{RepeatPenalty: 2, RepeatLast: 2}, []int32{1, 0, 0}, []int32{1}},
		// 3+log .4 = 2.08 halved once is 1.04, twice .52 < 3+log .1 = .70.
		{"penalty once a token", Options{Temperature: 1, TopK: 4, RepeatPenalty: 2, RepeatLast: 9}, []int32{1, 1}, []int32{0, 1, 3, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := drawn(t, c.o, logits, c.text); !slices.Equal(got, c.want) {
				t.Errorf("drawn %v, want %v", got, c.want)
			}
		})
	}
}

func TestPenaltyMakesNegativeLogitsWorse(t *testing.T) {
	s, _ := New(Options{RepeatPenalty: 2, RepeatLast: 1})
	if got := s.Sample([]float32{-1, -1.5}, []int32{0}); got != 1 {
		t.Errorf("token %d, want 1", got)
	}
}

func TestGreedyTakesTheFirstOfEquals(t *testing.T) {
	if got := Greedy().Sample([]float32{0, 2, 2, 1}, nil); got != 1 {
		t.Errorf("token %d, want 1", got)
	}
}

// TestGreatestIsTheBestCandidate compares the quick look for the greatest logit with the choice
// among candidates, with equals and with what is no number.
func TestGreatestIsTheBestCandidate(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	odd := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32, 3, 3}
	for range 2000 {
		logits := make([]float32, 1+rng.IntN(40))
		for i := range logits {
			logits[i] = float32(rng.IntN(9) - 4)
			if rng.IntN(12) == 0 {
				logits[i] = odd[rng.IntN(len(odd))]
			}
		}
		s := Greedy()
		s.load(logits, nil)
		if got, want := s.Sample(logits, nil), s.choose(); got != want {
			t.Fatalf("%v: token %d, want %d", logits, got, want)
		}
	}
}

// TestMostOf compares with a sort.
func TestMostOf(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 500 {
		all := make([]candidate, 1+rng.IntN(60))
		for i := range all {
			all[i] = candidate{int32(i), float32(rng.IntN(20))}
		}
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		order := func(a, b candidate) int {
			if a.before(b) {
				return -1
			}
			return 1
		}
		want := slices.SortedFunc(slices.Values(all), order)
		n := 1 + rng.IntN(len(all))
		got := mostOf(all, n)
		slices.SortFunc(got, order)
		if !slices.Equal(got, want[:n]) {
			t.Fatalf("%v, want %v", got, want[:n])
		}
	}
}

// TestFrequencies compares 200,000 draws with the probabilities; the standard
// deviation of a share is at most .0011, the bound is five of them.
func TestFrequencies(t *testing.T) {
	probabilities := []float64{.1, .4, .05, .2, .25}
	for _, o := range []Options{{Temperature: 1}, {Temperature: 1, TopK: 5, TopP: .9999, MinP: 1e-6}, {Temperature: 2}} {
		s, _ := New(o)
		want, sum := make([]float64, 5), 0.0
		for i, p := range probabilities {
			want[i] = math.Pow(p, 1/o.Temperature)
			sum += want[i]
		}
		const draws = 200_000
		counts := make([]float64, 5)
		for range draws {
			counts[s.Sample(logsOf(probabilities...), nil)]++
		}
		for i := range counts {
			if got := counts[i] / draws; math.Abs(got-want[i]/sum) > .0055 {
				t.Errorf("%+v: token %d has share %.4f, want %.4f", o, i, got, want[i]/sum)
			}
		}
	}
}

// TestSeed holds the draws to recorded ones, so that a change of the random
// numbers, or a processor that rounds otherwise, shows.
func TestSeed(t *testing.T) {
	logits := make([]float32, 1000)
	for i := range logits {
		logits[i] = float32(i*7919%1000) / 100
	}
	s, _ := New(Options{Temperature: .8, TopK: 40, TopP: .95, MinP: .05, RepeatPenalty: 1.1, RepeatLast: 64, Seed: 42})
	var got []int32
	for range 12 {
		got = append(got, s.Sample(logits, got))
	}
	want := []int32{667, 136, 914, 988, 568, 235, 840, 247, 124, 346, 605, 383}
	if !slices.Equal(got, want) {
		t.Errorf("drawn %v, want %v", got, want)
	}
}

func TestNoNumbers(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		name   string
		logits []float32
		want   int32
	}{
		{"some are none", []float32{nan, 1, nan}, 1},
		{"all are none", []float32{nan, nan}, 0},
		{"all impossible", []float32{-inf, -inf}, 0},
		{"one possible", []float32{-inf, -inf, 0}, 2},
		{"infinite", []float32{0, inf, 5}, 1},
	} {
		for _, o := range []Options{{}, {Temperature: 1}, {Temperature: .5, TopK: 3, TopP: .5, MinP: .1, RepeatPenalty: 1.5, RepeatLast: 4}} {
			s, _ := New(o)
			got := s.Sample(c.logits, []int32{0})
			if o.TopK > 0 && math.IsInf(float64(finite(c.logits[c.want])), -1) {
				continue // all are equally bad: any will do
			}
			if got != c.want {
				t.Errorf("%s, %+v: token %d, want %d", c.name, o, got, c.want)
			}
		}
	}
}

func TestOptionsOutOfRange(t *testing.T) {
	for _, o := range []Options{
		{Temperature: -1}, {Temperature: math.NaN()}, {Temperature: math.Inf(1)}, {TopK: -1},
		{TopP: 1.5}, {MinP: -.1}, {RepeatPenalty: -2}, {RepeatLast: -1},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func TestSampleDoesNotAllocate(t *testing.T) {
	logits := random(5000)
	s, _ := New(Options{Temperature: .8, TopK: 40, TopP: .9, RepeatPenalty: 1.1, RepeatLast: 64})
	text := []int32{1, 2, 3}
	if n := testing.AllocsPerRun(20, func() { s.Sample(logits, text) }); n != 0 {
		t.Errorf("%v allocations a token", n)
	}
	dst, branches, weights := make([]float32, 5000), [][]float32{logits, logits, logits}, []float64{.5, .3, .2}
	if n := testing.AllocsPerRun(20, func() { Mix(dst, branches, weights) }); n != 0 {
		t.Errorf("%v allocations a mixture", n)
	}
}

func BenchmarkSample(b *testing.B) {
	logits := random(49152)
	for name, o := range map[string]Options{
		"greedy": {}, "temperature": {Temperature: .8}, "top-p": {Temperature: .8, TopP: .95}, "usual": {Temperature: .8, TopK: 40, TopP: .95, MinP: .05},
	} {
		b.Run(name, func(b *testing.B) {
			s, _ := New(o)
			for b.Loop() {
				s.Sample(logits, nil)
			}
		})
	}
	b.Run("mix3", func(b *testing.B) {
		dst := make([]float32, len(logits))
		for b.Loop() {
			Mix(dst, [][]float32{logits, logits, logits}, []float64{.5, .3, .2})
		}
	})
}

func random(n int) []float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	logits := make([]float32, n)
	for i := range logits {
		logits[i] = float32(rng.NormFloat64() * 3)
	}
	return logits
}
