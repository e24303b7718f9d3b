package engine

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
)

// request is a text that begins with a shared prompt.
type request struct {
	prompt    []int32
	placement placement.Placement
	evidence  []lm.Evidence
	adapter   *Adapter
	salt      string
}

// answer writes two strides and returns the logits of their tokens and what was
// counted.
func (q request) answer(t *testing.T, e *Engine) (logits [][]float32, counts lm.Counts) {
	t.Helper()
	s := e.NewSequence()
	defer s.Close()
	s.SetSalt(q.salt)
	if err := s.SetAdapter(q.adapter); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(q.prompt...); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := s.Continue(context.Background(), q.placement, q.evidence, 5, pick(func(l []float32) int32 {
			logits = append(logits, slices.Clone(l))
			return greedy(l)
		}), nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	return logits, s.Counts()
}

// TestBeginningsAreReused: a second text that begins as one that has ended encodes only
// what is new, whatever evidence the first one had, and has the very bits of a text that
// found nothing.
func TestBeginningsAreReused(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	shared := randomTokens(r, 100) // three pages and a bit
	passage := func() []lm.Evidence { return []lm.Evidence{{Tokens: randomTokens(r, 40), Weight: 1}} }
	chat := placement.Prepend
	chat.At = 70
	for _, o := range computePaths() {
		for _, c := range []struct {
			name   string
			p      placement.Placement
			reused int
		}{
			{"none", placement.None, 96}, {"virtual", placement.Virtual, 96}, {"append", placement.Append, 96},
			{"prepend", placement.Prepend, 0}, {"prepend in chat", chat, 64},
		} {
			t.Run(o.Kernels+"/"+string(o.Compute)+o.KV+"/"+c.name, func(t *testing.T) {
				e := newTiny(t, o)
				first := request{prompt: slices.Concat(shared, randomTokens(r, 30)), placement: placement.Virtual, evidence: passage()}
				if _, counts := first.answer(t, e); counts.PromptReused != 0 || counts.Prompt != 130 {
					t.Errorf("the first text: %+v", counts)
				}
				second := request{prompt: slices.Concat(shared, randomTokens(r, 50)), placement: c.p, evidence: passage()}
				got, counts := second.answer(t, e)
				want, cold := second.answer(t, newTiny(t, o))
				sameRows(t, "the second text", got, want)
				if counts.PromptReused != c.reused || c.p.Evidence != placement.AtZero && counts.Prompt != 150-c.reused {
					t.Errorf("%+v, want %d tokens of the prompt reused", counts, c.reused)
				}
				if cold.PromptReused != 0 || counts.Decoded != cold.Decoded || counts.Reused != cold.Reused {
					t.Errorf("counted %+v, cold %+v", counts, cold)
				}
			})
		}
	}
}

// TestBeginningsOfOthersAreNotTaken: other tokens, adapters that change the context and
// other salts find nothing; an activated adapter leaves the context the base model's.
func TestBeginningsOfOthersAreNotTaken(t *testing.T) {
	e := newTiny(t, Options{})
	r := rand.New(rand.NewPCG(9, 9))
	prompt := randomTokens(r, 3*32+5)
	plain, active, another := load(t, e, adapter(false, 1)), load(t, e, adapter(true, 2)), load(t, e, adapter(false, 3))
	base := request{prompt: prompt, placement: placement.None}
	base.answer(t, e)
	adapted := base
	adapted.adapter = plain
	for _, c := range []struct {
		name   string
		edit   func(*request)
		reused int
	}{
		{"an adapter", func(q *request) { q.adapter = plain }, 0},
		{"the same adapter again", func(q *request) { q.adapter = plain }, 96},
		{"another adapter", func(q *request) { q.adapter = another }, 0},
		{"an activated adapter", func(q *request) { q.adapter = active }, 96},
		{"none", func(*request) {}, 96},
		{"a salt", func(q *request) { q.salt = "a" }, 0},
		{"the same salt again", func(q *request) { q.salt = "a" }, 96},
		{"another salt", func(q *request) { q.salt = "b" }, 0},
		{"another token in the second page", func(q *request) { q.prompt = slices.Clone(prompt); q.prompt[40]++ }, 32},
		{"another first token", func(q *request) { q.prompt = slices.Clone(prompt); q.prompt[0]++ }, 0},
		{"a shift by a token", func(q *request) { q.prompt = prompt[1:] }, 0},
		{"three pages and no more", func(q *request) { q.prompt = prompt[:96] }, 64},
	} {
		q := base
		c.edit(&q)
		got, counts := q.answer(t, e)
		if counts.PromptReused != c.reused {
			t.Errorf("%s: %d tokens reused, want %d", c.name, counts.PromptReused, c.reused)
		}
		cold := newTiny(t, Options{})
		if q.adapter != nil {
			q.adapter = load(t, cold, q.adapter.Source())
		}
		want, _ := q.answer(t, cold)
		sameRows(t, c.name, got, want)
	}
}

// TestSaltKeepsEvidenceApart: virtual evidence is found again under its own salt only.
func TestSaltKeepsEvidenceApart(t *testing.T) {
	e := newTiny(t, Options{})
	r := rand.New(rand.NewPCG(9, 10))
	q := request{prompt: randomTokens(r, 20), placement: placement.Virtual, evidence: []lm.Evidence{{Tokens: randomTokens(r, 30), Weight: 1}}}
	for _, c := range []struct {
		salt   string
		reused int // of two strides
	}{{"", 30}, {"a", 30}, {"a", 60}, {"b", 30}, {"", 60}} {
		q.salt = c.salt
		if _, counts := q.answer(t, e); counts.EvidenceReused != c.reused {
			t.Errorf("salt %q: %d tokens of evidence reused, want %d", c.salt, counts.EvidenceReused, c.reused)
		}
	}
}

// TestBeginningsGiveWay: in a full cache evidence that nobody reads goes first, then
// the beginnings that were longest not used, from their ends; those of sequences that
// still write stay.
func TestBeginningsGiveWay(t *testing.T) {
	e, begin := newFull(t, 8)
	old, err := begin(context.Background(), 3*32)
	if err != nil {
		t.Fatal(err)
	}
	old.Close()
	held := request{prompt: slices.Repeat([]int32{7}, 2*32+1), placement: placement.None}
	if _, counts := held.answer(t, e); counts.PromptReused != 0 {
		t.Errorf("%+v", counts)
	}
	s := e.NewSequence()
	defer s.Close()
	if err := s.Append(held.prompt...); err != nil {
		t.Fatal(err)
	}
	if err := s.Encode(context.Background(), s.Len()); err != nil || s.Counts().PromptReused != 64 {
		t.Fatalf("%v, %+v", err, s.Counts())
	}
	// Three pages are old's, three s's: five more need all of old's.
	s2 := e.NewSequence()
	if err := s2.Append(slices.Repeat([]int32{9}, 5*32+1)...); err != nil {
		t.Fatal(err)
	}
	if err := s2.Encode(context.Background(), s2.Len()); err != nil {
		t.Fatal(err)
	}
	s2.Close()
	if u := e.KV(); u.Pages > u.Limit {
		t.Errorf("%+v", u)
	}
	if _, counts := held.answer(t, e); counts.PromptReused != 64 {
		t.Errorf("what a sequence reads was given up: %+v", counts)
	}
	again, err := begin(context.Background(), 3*32)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if n := again.Counts().PromptReused; n != 0 {
		t.Errorf("%d tokens were found that had to give way", n)
	}
}

// TestConcurrentBeginnings: texts that begin alike meet, begin and end at any time.
func TestConcurrentBeginnings(t *testing.T) {
	e := newTiny(t, Options{Threads: 2, KVBudget: int64(newTiny(t, Options{}).KVTokenBytes() * 32 * 40)})
	r := rand.New(rand.NewPCG(4, 4))
	shared := randomTokens(r, 90)
	var requests []request
	var want [][][]float32
	for i := range 8 {
		q := request{prompt: slices.Concat(shared[:30+i*8], randomTokens(r, 40)), placement: placement.All[i%len(placement.All)]}
		if q.placement.Evidence != placement.Nowhere {
			q.evidence = []lm.Evidence{{Tokens: randomTokens(r, 30), Weight: 1}}
		}
		rows, _ := q.answer(t, newTiny(t, Options{}))
		requests, want = append(requests, q), append(want, rows)
	}
	var all sync.WaitGroup
	for i, q := range requests {
		all.Go(func() {
			for range 4 {
				got, _ := q.answer(t, e)
				sameRows(t, q.placement.Name, got, want[i])
			}
		})
	}
	all.Wait()
}

// TestKeptGivesWay: when the last sequence has ended, all pages in use are kept for texts
// to come, and all of those can be given up.
func TestKeptGivesWay(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	e := newTiny(t, computePaths()[0])
	begin := randomTokens(r, 70)
	var asked sync.WaitGroup
	for i := range 12 {
		q := request{
			prompt: slices.Concat(begin, randomTokens(r, 10*i)), placement: []placement.Placement{placement.None, placement.Virtual, placement.Append, placement.Prepend}[i%4],
			evidence: []lm.Evidence{{Tokens: randomTokens(r, 40), Weight: 1}}, salt: []string{"", "another"}[i%2],
		}
		asked.Go(func() { q.answer(t, e) })
	}
	asked.Wait()
	u := e.KV()
	if u.Pages == 0 || u.Kept != u.Pages {
		t.Errorf("%d pages are in use and %d of them kept for nobody", u.Pages, u.Kept)
	}
	for e.evict() {
	}
	if u := e.KV(); u.Pages != 0 || u.Kept != 0 {
		t.Errorf("%d pages are left, %d of them kept", u.Pages, u.Kept)
	}
}
