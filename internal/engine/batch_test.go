package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
)

// story is a sequence of a test: what it is given, and what it wrote.
type story struct {
	name      string
	placement placement.Placement
	adapter   func(*Engine) *Adapter
	prompt    int // tokens
	passages  []int
	lookAhead int
}

// sixteen returns stories of all placements, three adapters and other lengths.
func sixteen(t *testing.T) []story {
	adapters := []func(*Engine) *Adapter{
		func(*Engine) *Adapter { return nil },
		func(e *Engine) *Adapter { return load(t, e, adapter(false, 1)) },
		func(e *Engine) *Adapter { return load(t, e, adapter(true, 2)) },
	}
	all := layouts(t)
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	var stories []story
	for i := range 16 {
		s := story{placement: all[names[i%len(names)]], adapter: adapters[i/3%3], prompt: 5 + 37*i%170, lookAhead: i % 2 * 3}
		for j := range 1 + i%3 {
			s.passages = append(s.passages, 11+(i*17+j*29)%60)
		}
		s.name = fmt.Sprintf("%d %s", i, names[i%len(names)])
		stories = append(stories, s)
	}
	return stories
}

// write lets the story be written and returns the logits that its tokens came from.
func (st story) write(e *Engine, seed uint64) (logits [][]float32, err error) {
	r := rand.New(rand.NewPCG(seed, 1))
	s := e.NewSequence()
	defer s.Close()
	s.LookAhead(st.lookAhead)
	if err := s.SetAdapter(st.adapter(e)); err != nil {
		return nil, err
	}
	if err := s.Append(randomTokens(r, st.prompt)...); err != nil {
		return nil, err
	}
	for range 3 {
		var evidence []lm.Evidence
		for _, n := range st.passages {
			evidence = append(evidence, lm.Evidence{Tokens: randomTokens(r, n), Weight: 1 / float64(len(st.passages))})
		}
		if st.placement.Evidence == placement.Nowhere {
			evidence = nil
		}
		if st.prompt%2 == 0 {
			if err := s.Encode(context.Background(), s.Len()); err != nil {
				return nil, err
			}
		}
		_, err := s.Continue(context.Background(), st.placement, evidence, 9, pick(func(l []float32) int32 {
			logits = append(logits, slices.Clone(l))
			return greedy(l)
		}), nil)
		if err != nil {
			return nil, err
		}
	}
	return logits, nil
}

func sameRows(t *testing.T, name string, got, want [][]float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d tokens instead of %d", name, len(got), len(want))
		return
	}
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("%s: the logits of token %d depend on other sequences", name, i)
			return
		}
	}
}

// writeAlone writes each story on an engine of its own, and returns their logits and how many
// chunks they took.
func writeAlone(t *testing.T, stories []story, open func() *Engine) (logits [][][]float32, chunks int) {
	t.Helper()
	for i, st := range stories {
		e := open()
		rows, err := st.write(e, uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		logits = append(logits, rows)
		chunks += e.batch.progress()
	}
	return logits, chunks
}

// writeTogether writes the stories side by side on one engine: each must have the logits that
// it has alone.
func writeTogether(t *testing.T, e *Engine, stories []story, want [][][]float32) {
	t.Helper()
	var writers sync.WaitGroup
	for i, st := range stories {
		writers.Go(func() {
			got, err := st.write(e, uint64(i))
			if err != nil {
				t.Errorf("%s: %v", st.name, err)
				return
			}
			sameRows(t, st.name, got, want[i])
		})
	}
	writers.Wait()
}

// TestConcurrentSequencesAreAlone writes sixteen stories side by side, in chunks of
// several sizes. Each must have the very logits that it has on an engine of its own.
func TestConcurrentSequencesAreAlone(t *testing.T) {
	for _, o := range []Options{{Compute: Fast}, {Compute: Exact}} {
		stories := sixteen(t)
		alone := o
		alone.BatchTokens = pieceTokens // as prefills are cut beside those who write
		want, chunks := writeAlone(t, stories, func() *Engine { return newTiny(t, alone) })
		for _, rows := range []int{5, 64, 256} {
			o.BatchTokens, o.Threads = rows, 2
			t.Run(fmt.Sprintf("%s/%d rows", o.Compute, rows), func(t *testing.T) {
				e := newTiny(t, o)
				writeTogether(t, e, stories, want)
				if n := e.batch.progress(); rows == 256 && n >= chunks {
					t.Errorf("%d chunks, alone %d: the sequences never met", n, chunks)
				}
			})
		}
	}
}

// TestConcurrentFailuresHarmNobody: a bad token, cancelled callers and a text too
// large for the budget end their own sequences alone.
func TestConcurrentFailuresHarmNobody(t *testing.T) {
	stories := sixteen(t)[:6]
	var want [][][]float32
	for i, st := range stories {
		rows, err := st.write(newTiny(t, Options{}), uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, rows)
	}
	e := newTiny(t, Options{BatchTokens: 32, KVBudget: 100 * 32 * 1024})
	var all, writers sync.WaitGroup
	for i, st := range stories {
		writers.Go(func() {
			got, err := st.write(e, uint64(i))
			if err != nil {
				t.Errorf("%s: %v", st.name, err)
				return
			}
			sameRows(t, st.name, got, want[i])
		})
	}
	over := make(chan struct{})
	again := func(f func(i int)) {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				default:
					f(i)
				}
			}
		})
	}
	again(func(int) {
		s := e.NewSequence()
		defer s.Close()
		if err := s.Append(1, 2, 5000, 3); err != nil {
			t.Error(err)
		}
		if _, err := s.Continue(context.Background(), placement.None, nil, 4, pickGreedy, nil); err == nil || s.context.Len() != 0 {
			t.Errorf("a token beyond the vocabulary: %v, %d entries", err, s.context.Len())
		}
	})
	again(func(i int) {
		s := e.NewSequence()
		defer s.Close()
		if err := s.Append(randomTokens(rand.New(rand.NewPCG(1, uint64(i))), 60)...); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%20)*100*time.Microsecond)
		defer cancel()
		if _, err := s.Continue(ctx, placement.None, nil, 1000, pickGreedy, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a cancelled caller: %v", err)
		}
	})
	again(func(i int) {
		s := e.NewSequence()
		defer s.Close()
		if err := s.Append(make([]int32, 1800)...); err != nil {
			t.Error(err)
		}
		evidence := []lm.Evidence{{Tokens: make([]int32, 1800), Weight: .5}, {Tokens: make([]int32, 1800), Weight: .5}}
		if _, err := s.Continue(context.Background(), placement.Prepend, evidence, 1, pickGreedy, nil); !errors.Is(err, ErrTooLong) {
			t.Errorf("a text too long: %v", err)
		}
	})
	writers.Wait()
	close(over)
	all.Wait()
	for e.evict() {
	}
	if u := e.KV(); u.Pages != 0 {
		t.Errorf("%d pages are left", u.Pages)
	}
}

// waitingOn returns a forward of segments of so many tokens.
func waitingOn(decodes bool, tokens ...int) *forward {
	f := &forward{ctx: context.Background(), decodes: decodes}
	for _, n := range tokens {
		f.segments = append(f.segments, segment{tokens: make([]int32, n)})
		f.entries = append(f.entries, 0)
		f.left += n
		f.drafts = n - 1
	}
	return f
}

// writing returns a forward whose sequence has chosen a token before.
func writing(f *forward) *forward {
	f.writes = true
	return f
}

// TestFill: a row of each decode, pieces of prefills in turns, drafts last.
func TestFill(t *testing.T) {
	type rows map[string][]int // of each forward's segments
	for _, c := range []struct {
		name     string
		batch    int
		decodes  []*forward
		prefills []*forward
		want     []rows // of the chunks that follow each other
	}{
		{"alone", 256, nil, []*forward{waitingOn(false, 300, 20)}, []rows{{"p0": {256}}, {"p0": {44, 20}}}},
		{"prefills in turns", 96, nil, []*forward{waitingOn(false, 100), waitingOn(false, 40)},
			[]rows{{"p0": {64}, "p1": {32}}, {"p0": {36}, "p1": {8}}}},
		{"one piece a chunk beside decodes", 256, []*forward{waitingOn(true, 1)}, []*forward{waitingOn(false, 33), waitingOn(false, 40), waitingOn(false, 1)},
			[]rows{{"d0": {1}, "p0": {32}}, {"p0": {1}, "p1": {40}, "p2": {1}}}},
		{"a stride begins beside prompts", 256, nil, []*forward{waitingOn(false, 300), writing(waitingOn(false, 40)), waitingOn(false, 33)},
			[]rows{{"p0": {32}, "p1": {40}}, {"p0": {223}, "p2": {33}}, {"p0": {45}}}},
		{"strides begin alone", 256, nil, []*forward{writing(waitingOn(false, 300)), writing(waitingOn(false, 40))},
			[]rows{{"p0": {216}, "p1": {40}}, {"p0": {84}}}},
		{"a row of each branch", 256, []*forward{waitingOn(true, 1), waitingOn(true, 1, 1, 1)}, nil,
			[]rows{{"d0": {1}, "d1": {1, 1, 1}}}},
		{"drafts in the room that is left", 10, []*forward{waitingOn(true, 4), waitingOn(true, 4, 4), waitingOn(true, 2)}, nil,
			[]rows{{"d0": {4}, "d1": {1, 1}, "d2": {2}}}},
		{"drafts of a sequence alone", 20, []*forward{waitingOn(true, 4, 30)}, nil, []rows{{"d0": {10, 10}}}},
		{"drafts behind prefills", 7, []*forward{waitingOn(true, 4)}, []*forward{waitingOn(false, 5)},
			[]rows{{"d0": {2}, "p0": {5}}}},
		{"no drafts beside many rows", 256, []*forward{waitingOn(true, 4)}, []*forward{waitingOn(false, 8)},
			[]rows{{"d0": {1}, "p0": {8}}}},
		{"more decodes than rows", 2, []*forward{waitingOn(true, 3), waitingOn(true, 1), waitingOn(true, 1)}, nil,
			[]rows{{"d0": {1}, "d1": {1}}, {"d2": {1}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBatch(&workspace{batch: c.batch})
			b.decodes, b.prefills = slices.Clone(c.decodes), slices.Clone(c.prefills)
			names := map[*segment]string{}
			for i, f := range c.decodes {
				for j := range f.segments {
					names[&f.segments[j]] = fmt.Sprint("d", i)
				}
			}
			for i, f := range c.prefills {
				for j := range f.segments {
					names[&f.segments[j]] = fmt.Sprint("p", i)
				}
			}
			for i, want := range c.want {
				b.fill()
				got := rows{}
				for _, p := range b.chunk {
					got[names[p.segment]] = append(got[names[p.segment]], p.count)
				}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("chunk %d: %v, want %v", i, got, want)
				}
				for _, f := range b.chosen {
					f.settle(nil)
				}
				b.decodes = slices.DeleteFunc(b.decodes, func(f *forward) bool { return f.ended })
				b.prefills = slices.DeleteFunc(b.prefills, func(f *forward) bool { return f.ended })
			}
			if b.first() != nil {
				t.Error("not all was encoded")
			}
		})
	}
}

// TestSlowChoosersAreLeft: a sequence whose caller takes long over a token holds the
// others up once, for no longer than a step.
func TestSlowChoosersAreLeft(t *testing.T) {
	e := newTiny(t, Options{})
	open := func() *Sequence {
		s := e.NewSequence()
		t.Cleanup(s.Close)
		if err := s.Append(1, 2, 3); err != nil {
			t.Fatal(err)
		}
		return s
	}
	stuck, going := make(chan struct{}), make(chan struct{})
	var slow sync.WaitGroup
	slow.Go(func() {
		s := open()
		_, err := s.Continue(context.Background(), placement.None, nil, 3, pickGreedy, func(int32) bool {
			if s.fw.decodes { // behind the second token
				close(stuck)
				<-going
			}
			return s.fw.decodes
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-stuck
	if n, err := open().Continue(context.Background(), placement.None, nil, 50, pickGreedy, nil); err != nil || len(n) != 50 {
		t.Errorf("%d tokens, %v", len(n), err)
	}
	e.batch.mu.Lock()
	if n := len(e.batch.choosing); n != 0 {
		t.Errorf("%d sequences are still waited for", n)
	}
	e.batch.mu.Unlock()
	close(going)
	slow.Wait()
}

// TestPrefillsMakeRoomForWhoIsAway: a prefill gets small pieces while a sequence that
// writes is away for a moment, and whole chunks when it is back, has ended or is away for
// long.
func TestPrefillsMakeRoomForWhoIsAway(t *testing.T) {
	b := newBatch(&workspace{batch: 256})
	writes, scores := &forward{writes: true}, &forward{}
	chunk := func() (rows int) {
		b.prefills = []*forward{waitingOn(false, 1000)}
		b.fill()
		for _, p := range b.chunk {
			rows += p.count
		}
		return rows
	}
	for _, c := range []struct {
		what string
		do   func()
		want int
	}{
		{"nobody is away", func() {}, 256},
		{"one has chosen", func() { b.done(writes) }, pieceTokens},
		{"it is back", func() { b.leave(writes) }, 256},
		{"it has chosen and ended", func() { b.done(writes); b.gone(writes) }, 256},
		{"it scores", func() { b.done(scores) }, 256},
		{"it chooses for longer than is waited for", func() {
			b.choosing = append(b.choosing, writes)
			b.await()
		}, pieceTokens},
		{"it is away for long", func() { b.away[0].since = time.Now().Add(-absent - time.Second) }, 256},
	} {
		c.do()
		if got := chunk(); got != c.want {
			t.Errorf("%s: a chunk has %d rows of a prefill, want %d", c.what, got, c.want)
		}
	}
}

// TestSequencesLeaveNothingBehind: a batch thinks of no sequence that was closed.
func TestSequencesLeaveNothingBehind(t *testing.T) {
	e := newTiny(t, Options{})
	s := e.NewSequence()
	if err := s.Append(1, 2, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Continue(context.Background(), placement.None, nil, 3, pickGreedy, nil); err != nil {
		t.Fatal(err)
	}
	if len(e.batch.away) != 1 {
		t.Errorf("%d sequences are away behind a stride, want 1", len(e.batch.away))
	}
	if s.Close(); len(e.batch.away) != 0 {
		t.Error("a closed sequence is thought of")
	}
}
