package engine

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
)

// read runs strides of which the first three have the same evidence, the fourth
// another, the others the first again, and returns them with what each encoded.
// between is called before each.
func read(t *testing.T, e *Engine, p placement.Placement, turn, k int, between func(*Sequence)) (steps []step, prefilled []int) {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 2))
	s := e.NewSequence()
	defer s.Close()
	if err := s.Append(randomTokens(r, 70)...); err != nil {
		t.Fatal(err)
	}
	some, other := []lm.Evidence{{Tokens: randomTokens(r, 35), Weight: .75}, {Tokens: randomTokens(r, 9), Weight: .25}}[:k], []lm.Evidence{{Tokens: randomTokens(r, 20), Weight: 1}}
	for _, evidence := range [][]lm.Evidence{some, some, some, other, some} {
		between(s)
		st := step{text: slices.Clone(s.Tokens()), evidence: evidence}
		before := s.Counts()
		var err error
		st.sampled, err = s.Continue(t.Context(), p.ForTurn(s.Len(), turn), evidence, 7, pick(func(l []float32) int32 {
			st.logits = append(st.logits, slices.Clone(l))
			return greedy(l)
		}), nil)
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, st)
		c := s.Counts().Sub(before)
		prefilled = append(prefilled, c.Prompt+c.Prefilled)
	}
	return steps, prefilled
}

// What was read in sight of evidence is gone on with while the evidence stays: nothing
// is encoded twice, and the bits are those of encoding it again.
func TestReadingOnEqualsReadingAgain(t *testing.T) {
	const turn = 50
	virtual, err := placement.Virtual.WithEcho(placement.Turn)
	if err != nil {
		t.Fatal(err)
	}
	chat := placement.Prepend
	chat.At = turn
	for _, c := range []struct {
		name string
		p    placement.Placement
		k    int
		want []int // encoded in front of the first token
	}{
		{"virtual, turn", virtual, 2, []int{70 + 44, 0, 0, 20 + 41, 48}},
		{"prepend in a chat", chat, 1, []int{70 + 35, 0, 0, 20 + 41, 35 + 48}},
		{"prepend in a chat, branches", chat, 2, []int{70 + 20 + 44, 0, 0, 20 + 41, 44 + 2*48}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, o := range computePaths() {
				e := newTiny(t, o)
				steps, prefilled := read(t, e, c.p, turn, c.k, func(*Sequence) {})
				if !slices.Equal(prefilled, c.want) {
					t.Errorf("%+v: encoded %d, want %d", o, prefilled, c.want)
				}
				for _, st := range steps {
					if d := firstDifference(t, e, c.p.ForTurn(len(st.text), turn), []step{st}); d != "" {
						t.Fatalf("%+v: a text of %d: %s", o, len(st.text), d)
					}
				}
				again, encoded := read(t, newTiny(t, o), c.p, turn, c.k, (*Sequence).forgetReading)
				if encoded[1] <= prefilled[1] {
					t.Errorf("%+v: reading again encoded %d, reading on %d", o, encoded[1], prefilled[1])
				}
				for i := range steps {
					if !slices.Equal(steps[i].sampled, again[i].sampled) {
						t.Errorf("%+v: stride %d became another text", o, i)
					}
				}
				for e.evict() {
				}
				if u := e.KV(); u.Pages != 0 {
					t.Errorf("%+v: %d pages are left", o, u.Pages)
				}
			}
		})
	}
}

// The passages of a turn's first look-up stay, and what was read in their sight; later
// ones come and go, and what saw them is read again without them.
func TestInTurn(t *testing.T) {
	const turn = 50
	p, err := placement.InTurn.WithApart(20)
	if err != nil {
		t.Fatal(err)
	}
	p.At = turn
	for _, o := range computePaths() {
		e := newTiny(t, o)
		r := rand.New(rand.NewPCG(5, 2))
		s := e.NewSequence()
		if err := s.Append(randomTokens(r, 70)...); err != nil {
			t.Fatal(err)
		}
		first := lm.Evidence{Tokens: randomTokens(r, 35)}
		later := []lm.Evidence{{Tokens: randomTokens(r, 9)}, {Tokens: randomTokens(r, 12)}, {Tokens: randomTokens(r, 15)}}
		for i, c := range []struct {
			later []lm.Evidence
			want  int // encoded in front of the first token
		}{
			{nil, 70 + 35}, {nil, 0}, {later[:1], 9 + 1}, {later[:2], 7 + 12 + 1}, {later[1:2], 7 + 12 + 1}, {nil, 7 + 1}, {later[:1], 0},
		} {
			st := step{text: slices.Clone(s.Tokens()), evidence: append([]lm.Evidence{first}, c.later...)}
			before := s.Counts()
			st.sampled, err = s.Continue(t.Context(), p, st.evidence, 7, pick(func(l []float32) int32 {
				st.logits = append(st.logits, slices.Clone(l))
				return greedy(l)
			}), nil)
			if err != nil {
				t.Fatal(err)
			}
			counts := s.Counts().Sub(before)
			if got := counts.Prompt + counts.Prefilled; got != c.want {
				t.Errorf("%+v: stride %d encoded %d, want %d", o, i, got, c.want)
			}
			if d := firstDifference(t, e, p, []step{st}); d != "" {
				t.Fatalf("%+v: stride %d: %s", o, i, d)
			}
		}
		s.Close()
		for e.evict() {
		}
		if u := e.KV(); u.Pages != 0 {
			t.Errorf("%+v: %d pages are left", o, u.Pages)
		}
	}
}

// Pages of a reading are given up when others need them, and the text is read again.
func TestReadingsGiveWay(t *testing.T) {
	virtual, err := placement.Virtual.WithEcho(placement.Turn)
	if err != nil {
		t.Fatal(err)
	}
	e := newTiny(t, Options{})
	held := 0
	steps, _ := read(t, e, virtual, 50, 2, func(*Sequence) {
		for e.readings.evict() {
			held++
		}
	})
	if held != len(steps)-1 {
		t.Errorf("%d readings were held, want %d", held, len(steps)-1)
	}
	for _, st := range steps {
		if d := firstDifference(t, e, virtual.ForTurn(len(st.text), 50), []step{st}); d != "" {
			t.Fatal(d)
		}
	}
}

// Cutting the text back, and closing it, end a reading.
func TestReadingsEnd(t *testing.T) {
	virtual, err := placement.Virtual.WithEcho(8)
	if err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(*Sequence){
		"cut back": func(s *Sequence) { s.Truncate(s.Len() - 1) },
		"closed":   (*Sequence).Close,
	} {
		e := newTiny(t, Options{})
		s := e.NewSequence()
		r := rand.New(rand.NewPCG(5, 2))
		if err := s.Append(randomTokens(r, 20)...); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Continue(t.Context(), virtual, []lm.Evidence{{Tokens: randomTokens(r, 9), Weight: 1}}, 4, pickGreedy, nil); err != nil {
			t.Fatal(err)
		}
		if len(e.readings.of) != 1 {
			t.Fatalf("%s: no reading is held", name)
		}
		if end(s); len(e.readings.of) != 0 {
			t.Errorf("%s: the reading is still held", name)
		}
	}
}
