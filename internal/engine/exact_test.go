package engine

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/sample"
)

func newTiny(t testing.TB, opt Options) *Engine {
	t.Helper()
	e, err := New(modeltest.Tiny(1), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// layouts are the rows of the placement table that keep KV, and the others.
func layouts(t testing.TB) map[string]placement.Placement {
	t.Helper()
	echo16, err := placement.Append.WithEcho(16)
	if err != nil {
		t.Fatal(err)
	}
	echo16.Name = "append-echo16"
	again, err := placement.Virtual.WithEcho(16)
	if err != nil {
		t.Fatal(err)
	}
	again.Name = "virtual-echo16"
	apart, err := placement.Virtual.WithApart(40)
	if err != nil {
		t.Fatal(err)
	}
	apart.Name = "virtual-apart40"
	chat := placement.Prepend
	chat.At, chat.Name = 3, "prepend-at-3"
	turn := placement.InTurn
	turn.At, turn.Apart, turn.Name = 3, 40, "in-turn-at-3"
	all := map[string]placement.Placement{}
	for _, p := range append(slices.Clone(placement.All), echo16, again, apart, chat, turn) {
		all[p.Name] = p
	}
	return all
}

// step is one stride of a recorded generation.
type step struct {
	text     []int32
	evidence []lm.Evidence
	sampled  []int32
	logits   [][]float32
}

func randomTokens(r *rand.Rand, n int) []int32 {
	ts := make([]int32, n)
	for i := range ts {
		ts[i] = int32(r.IntN(300))
	}
	return ts
}

// pick is a sampler of a test.
type pick func(logits []float32) int32

func (p pick) Sample(logits []float32, _ []int32) int32 { return p(logits) }
func (p pick) Options() sample.Options                  { return sample.Options{} }

func greedy(logits []float32) int32 {
	best := 0
	for i, l := range logits {
		if l > logits[best] {
			best = i
		}
	}
	return int32(best)
}

// generate runs strides of 16 tokens. Evidence comes from a pool of four
// passages, so that kept spans are met again.
func generate(t testing.TB, e *Engine, p placement.Placement, k, prompt, strides int) []step {
	t.Helper()
	r := rand.New(rand.NewPCG(7, uint64(k)))
	passages := make([][]int32, 4)
	for i := range passages {
		passages[i] = randomTokens(r, 20+13*i)
	}
	s := e.NewSequence()
	defer s.Close()
	if err := s.Append(randomTokens(r, prompt)...); err != nil {
		t.Fatal(err)
	}
	var steps []step
	for i := range strides {
		var ev []lm.Evidence
		weights := [][]float64{{1}, nil, {0.5, 0.3, 0.2}}[k-1]
		for j := range k {
			ev = append(ev, lm.Evidence{Tokens: passages[(i+j*2)%len(passages)], Weight: weights[j]})
		}
		if p.Evidence == placement.Nowhere {
			ev = nil
		}
		st := step{text: slices.Clone(s.Tokens()), evidence: ev}
		sampled, err := s.Continue(context.Background(), p, ev, 16, pick(func(logits []float32) int32 {
			st.logits = append(st.logits, slices.Clone(logits))
			return greedy(logits)
		}), nil)
		if err != nil {
			t.Fatal(err)
		}
		st.sampled = slices.Clone(sampled)
		steps = append(steps, st)
	}
	return steps
}

// firstDifference compares recorded logits with those recomputed from empty
// caches, bit for bit.
func firstDifference(t testing.TB, e *Engine, p placement.Placement, steps []step) string {
	t.Helper()
	for i, st := range steps {
		rows, err := e.Recompute(context.Background(), p, st.text, st.evidence, st.sampled)
		if err != nil {
			t.Fatal(err)
		}
		for j, row := range rows {
			for v := range row {
				if math.Float32bits(row[v]) != math.Float32bits(st.logits[j][v]) {
					return fmt.Sprintf("stride %d token %d logit %d: kept %v, recomputed %v", i, j, v, st.logits[j][v], row[v])
				}
			}
		}
	}
	return ""
}

// computePaths lists the compute paths of this processor, exact, and fast with each
// storage of keys and values; with -short, those of the fastest kernels only.
func computePaths() []Options {
	sets := kernel.Sets()
	if testing.Short() {
		sets = sets[:1]
	}
	var paths []Options
	for _, set := range sets {
		paths = append(paths, Options{Kernels: set.Name, Compute: Exact})
		for _, kv := range []string{"f16", "i16", "q8"} {
			paths = append(paths, Options{Kernels: set.Name, Compute: Fast, KV: kv})
		}
	}
	return paths
}

func TestKeptKVEqualsRecomputing(t *testing.T) {
	for _, o := range computePaths() {
		e := newTiny(t, o)
		for name, p := range layouts(t) {
			for _, k := range []int{1, 3} {
				t.Run(fmt.Sprintf("%s/%s%s/%s/k=%d", o.Kernels, o.Compute, o.KV, name, k), func(t *testing.T) {
					steps := generate(t, e, p, k, 300, 6)
					if d := firstDifference(t, e, p, steps); d != "" {
						t.Fatal(d)
					}
				})
			}
		}
	}
}

// TestBatchingChunkingAndThreadsChangeNothing compares whole generations bit for
// bit under settings that change how the work is cut.
func TestBatchingChunkingAndThreadsChangeNothing(t *testing.T) {
	for name, p := range layouts(t) {
		t.Run(name, func(t *testing.T) {
			for _, o := range []Options{{Compute: Exact}, {Compute: Fast, KV: "i16"}, {Compute: Fast, KV: "f16"}, {Compute: Fast, KV: "q8"}} {
				o.Threads = 1
				want := generate(t, newTiny(t, o), p, 3, 500, 2)
				for _, opt := range []Options{{Threads: 3, BatchTokens: 7}, {Threads: 2, BatchTokens: 1000}} {
					opt.Compute, opt.KV = o.Compute, o.KV
					got := generate(t, newTiny(t, opt), p, 3, 500, 2)
					for i := range want {
						for j := range want[i].logits {
							if !slices.Equal(want[i].logits[j], got[i].logits[j]) {
								t.Fatalf("%+v: stride %d token %d differs", opt, i, j)
							}
						}
					}
				}
			}
		})
	}
}

// TestPlantedFaultsAreFound plants what could go wrong in a stride and checks
// that the comparison sees it.
func TestPlantedFaultsAreFound(t *testing.T) {
	echo16, _ := placement.Append.WithEcho(16)
	virtual16, _ := placement.Virtual.WithEcho(16)
	var dropped []kvcache.Part // evidence of the stride before
	tests := []struct {
		name   string
		p      placement.Placement
		tamper func(e *Engine) func(*stride, *plan)
	}{
		{"evidence dropped one stride late", placement.Append, func(e *Engine) func(*stride, *plan) {
			return func(st *stride, pl *plan) {
				tail := &pl.segments[len(pl.segments)-1]
				late := dropped
				copied := e.pool.NewSpan(tail.into.Start())
				dropped = []kvcache.Part{{Span: copied, Len: len(tail.tokens)}}
				pl.segments = append(pl.segments, segment{tokens: tail.tokens, view: tail.view, into: copied, logitsFrom: len(tail.tokens)})
				for i := range st.branches {
					st.branches[i].view = append(st.branches[i].view, late...)
				}
			}
		}},
		{"sampled tokens not encoded again", placement.Append, func(*Engine) func(*stride, *plan) {
			strides := 0
			return func(st *stride, pl *plan) {
				if strides++; strides == 1 {
					return
				}
				// What was sampled beside the evidence stays as if it were plain.
				first := &pl.segments[0]
				first.view = st.branches[0].view[1:2]
				pl.segments[0], pl.segments[1] = pl.segments[1], pl.segments[0]
				pl.segments[0].view = []kvcache.Part{st.s.context.Prefix(st.s.context.Len())}
			}
		}},
		{"position off by one", echo16, func(e *Engine) func(*stride, *plan) {
			return func(st *stride, pl *plan) {
				b := &st.branches[0]
				moved := e.pool.NewSpan(b.tail.Start() + 1)
				st.own = append(st.own, moved)
				b.tail, pl.segments[len(pl.segments)-1].into = moved, moved
			}
		}},
		{"echoed copy visible in virtual", placement.Virtual, func(*Engine) func(*stride, *plan) {
			return copyVisible
		}},
		{"first echoed copy visible in virtual", virtual16, func(*Engine) func(*stride, *plan) {
			return copyVisible
		}},
		{"span reused under another token 0", placement.Virtual, func(e *Engine) func(*stride, *plan) {
			return func(st *stride, pl *plan) {
				for i := range pl.keep {
					pl.keep[i].key.sink = st.s.tokens[0] // the key as it should be …
				}
				// … while the span was encoded beside another token 0.
				other := e.pool.NewSpan(0)
				for i := range pl.segments {
					if sg := &pl.segments[i]; len(sg.view) == 1 && sg.view[0].Len == 1 {
						sg.view = []kvcache.Part{{Span: other, Len: 1}}
					}
				}
				sink := segment{tokens: []int32{(st.s.tokens[0] + 1) % 300}, into: other, logitsFrom: 1}
				pl.segments = append([]segment{sink}, pl.segments...)
				st.own = append(st.own, other)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newTiny(t, Options{})
			e.tamper = tt.tamper(e)
			steps := generate(t, e, tt.p, 1, 40, 4)
			if firstDifference(t, newTiny(t, Options{}), tt.p, steps) == "" {
				t.Fatal("the fault went unnoticed")
			}
		})
	}
}

// copyVisible encodes a first copy of the echo, and lets the tail see it.
func copyVisible(st *stride, pl *plan) {
	context := &pl.segments[0]
	text := st.s.tokens[context.into.Len():]
	context.tokens = text[:len(context.tokens)+1]
	context.logitsFrom = len(context.tokens)
	st.branches[0].view[0].Len++
}

func TestTokensComputedAreThoseOfTheTable(t *testing.T) {
	const p, n, s, strides = 100, 20, 16, 4
	echo16, _ := placement.Append.WithEcho(16)
	virtual16, _ := placement.Virtual.WithEcho(16)
	for _, tt := range []struct {
		p                    placement.Placement
		prefilled, decoded   int // without what depends on the stride
		reused               int
		evidence, evidenceRe int
	}{
		{placement.None, 0, strides*s - 1, 0 + 115 + 131 + 147, 0, 0},
		{placement.Prepend, n, strides*s - 1, 115 + 131 + 147, strides * n, (strides - 1) * n}, // the passage stays
		{placement.Append, strides*n + (strides-1)*s, strides * (s - 1), 100 + 116 + 132, strides * n, 0},
		{echo16, strides*(n+16) + (strides-1)*s, strides * (s - 1), 100 + 116 + 132, strides * n, 0},
		{placement.Virtual, n + (strides-1)*(s+1), strides * (s - 1), 99 + 115 + 131, strides * n, (strides - 1) * n},
		{virtual16, n + (strides-1)*(s+16), strides * (s - 1), 84 + 100 + 116, strides * n, (strides - 1) * n},
	} {
		t.Run(fmt.Sprint(tt.p.Name, tt.p.Echo), func(t *testing.T) {
			e := newTiny(t, Options{})
			seq := e.NewSequence()
			r := rand.New(rand.NewPCG(1, 1))
			if err := seq.Append(randomTokens(r, p)...); err != nil {
				t.Fatal(err)
			}
			passage := []lm.Evidence{{Tokens: randomTokens(r, n), Weight: 1}}
			if tt.p.Evidence == placement.Nowhere {
				passage = nil
			}
			for range strides {
				if _, err := seq.Continue(context.Background(), tt.p, passage, s, pickGreedy, nil); err != nil {
					t.Fatal(err)
				}
			}
			want := lm.Counts{Prompt: p, Prefilled: tt.prefilled, Decoded: tt.decoded, Reused: tt.reused, Evidence: tt.evidence, EvidenceReused: tt.evidenceRe}
			if got := seq.Counts(); got != want {
				t.Fatalf("counts\n%+v, want\n%+v", got, want)
			}
			seq.Close()
			for e.evict() {
			}
			if u := e.KV(); u.Pages != 0 || u.Copies != 0 {
				t.Fatalf("pages left or copied: %+v", u)
			}
		})
	}
}

func TestForksShareTheContext(t *testing.T) {
	e := newTiny(t, Options{})
	s := e.NewSequence()
	r := rand.New(rand.NewPCG(1, 1))
	if err := s.Append(randomTokens(r, 200)...); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Continue(context.Background(), placement.None, nil, 3, pickGreedy, nil); err != nil {
		t.Fatal(err)
	}
	before := e.KV()
	f := s.Fork()
	a, errA := s.Continue(context.Background(), placement.None, nil, 20, pickGreedy, nil)
	b, errB := f.Continue(context.Background(), placement.None, nil, 20, pickGreedy, nil)
	if errA != nil || errB != nil || !slices.Equal(a, b) {
		t.Fatalf("a fork went another way: %v %v, %v %v", a, errA, b, errB)
	}
	after := e.KV()
	if after.Copies-before.Copies > 1 || after.Pages-before.Pages > 2 {
		t.Fatalf("the fork copied more than a partial page: before %+v, after %+v", before, after)
	}
}

func TestCancelledStrideKeepsWhatWasSampled(t *testing.T) {
	e := newTiny(t, Options{})
	s := e.NewSequence()
	r := rand.New(rand.NewPCG(1, 1))
	if err := s.Append(randomTokens(r, 50)...); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	ev := []lm.Evidence{{Tokens: randomTokens(r, 20), Weight: 1}}
	got, err := s.Continue(ctx, placement.Append, ev, 16, pick(func(l []float32) int32 {
		if n++; n == 3 {
			cancel()
		}
		return greedy(l)
	}), nil)
	if err == nil || len(got) != 3 || s.Len() != 53 {
		t.Fatalf("got %d tokens, %d kept, error %v; want 3, 53 and the cancellation", len(got), s.Len(), err)
	}
	if _, err := s.Continue(ctx, placement.Append, ev, 16, nil, nil); err == nil {
		t.Fatal("a cancelled context began a stride")
	}
	// The sequence goes on as if nothing had happened.
	steps := []step{{text: slices.Clone(s.Tokens()), evidence: ev}}
	steps[0].sampled, err = s.Continue(context.Background(), placement.Append, ev, 4, pick(func(l []float32) int32 {
		steps[0].logits = append(steps[0].logits, slices.Clone(l))
		return greedy(l)
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := firstDifference(t, e, placement.Append, steps); d != "" {
		t.Fatal(d)
	}
}
