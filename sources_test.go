package flashback

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/collection"
	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/hub/hubtest"
	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25/analysis"
)

// Sources are numbered by the sentences that they matter to, each of which names those
// that matter to it; what does not matter is told apart.
func TestAttribution(t *testing.T) {
	const text = "One is it. Two is that."
	a := attribution{sentences: []span{{0, 10}, {10, 23}}, number: map[Passage]int{}}
	passage := func(id string, score float64) Passage { return Passage{ID: id, Score: score} }
	starts := []int{0, 5, 10, 15}
	a.add(passage("second", 9), starts, []float64{.5, .5, 3, 0})
	a.add(passage("first", 8), starts, []float64{2, 1, 0, 0})
	a.add(passage("idle", 7), starts, []float64{-3, 1, 1, 2.9})
	a.add(passage("second", 4), []int{20, 23, 40}, []float64{1, 100, 100}) // in sight again; what a stop string cut counts nowhere
	a.add(passage("weak", 1), starts, []float64{.9, 0, .5, .9})
	covered := Covered
	look := func(p Passage) (string, float64, error) { return "/" + p.ID, covered, nil }
	p, err := a.provenance(text, look)
	if err != nil {
		t.Fatal(err)
	}
	source := func(number int, id string, score, nats float64) Source {
		return Source{Number: number, Passage: passage(id, score), Path: "/" + id, Nats: nats, Covered: Covered}
	}
	want := Provenance{
		Found:     true,
		Sources:   []Source{source(1, "first", 8, 3), source(2, "second", 9, 5), source(3, "weak", 1, 2.3)},
		Unused:    []Source{source(0, "idle", 7, 1.9)},
		Sentences: []Sentence{{"One is it.", []int{1, 2}}, {" Two is that.", []int{2, 3}}},
	}
	for i := range p.Sources {
		p.Sources[i].Nats = math.Round(p.Sources[i].Nats*1e9) / 1e9
	}
	p.Unused[0].Nats = math.Round(p.Unused[0].Nats*1e9) / 1e9
	if !reflect.DeepEqual(p, want) {
		t.Errorf("\n%+v\nnot\n%+v", p, want)
	}
	covered = Covered / 2
	if p, err := a.provenance(text, look); err != nil || p.Found || len(p.Sources) != 3 {
		t.Errorf("where no passage speaks of the question: found %v, %d sources, %v", p.Found, len(p.Sources), err)
	}
	covered = -1
	if p, err := a.provenance(text, look); err != nil || !p.Found {
		t.Errorf("where the retriever cannot tell: found %v, %v", p.Found, err)
	}
}

// What an answer's tokens lose without a passage is what a sequence of its own says,
// and asking for it changes nothing of the conversation.
func TestProvenance(t *testing.T) {
	e := kettles(t)
	r := AnswerDefaults()
	r.MaxTokens, r.Stride = 12, 12
	var trace Trace
	ask := func(c *Chat, question string) string {
		t.Helper()
		trace = Trace{}
		for event, err := range c.Ask(context.Background(), question, r) {
			if err != nil {
				t.Fatal(err)
			}
			trace.Add(event)
		}
		return trace.Text()
	}
	plain, asked := e.NewChat(""), e.NewChat("")
	defer plain.Close()
	defer asked.Close()
	for _, question := range []string{"What does the red kettle do?", "And the blue one?"} {
		want := ask(plain, question)
		if got := ask(asked, question); got != want {
			t.Errorf("%q is answered %q, without asking for sources %q", question, got, want)
		}
		before := asked.sequence.Counts()
		p, err := asked.Provenance(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if asked.sequence.Counts() != before || !slices.Equal(asked.sequence.Tokens(), plain.sequence.Tokens()) {
			t.Errorf("%q: asking for sources changed the conversation", question)
		}
		if len(p.Strides) != len(trace.Strides) {
			t.Fatalf("%q: %d strides of %d are told", question, len(p.Strides), len(trace.Strides))
		}
		all := slices.Concat(p.Sources, p.Unused)
		if len(all) != 2 {
			t.Fatalf("%q: %d passages were in sight", question, len(all))
		}
		for _, s := range all {
			if filepath.Base(s.Path) != s.Source || !filepath.IsAbs(s.Path) {
				t.Errorf("%q is the file %q", s.Source, s.Path)
			}
			if want := lost(t, asked, s.Passage); math.Abs(s.Nats-want) > 1e-6 {
				t.Errorf("%q: the answer loses %v nats without %q, want %v", question, s.Nats, s.ID, want)
			}
		}
	}
}

// lost scores the last answer of a chat with all its passages and without one, in
// sequences of their own.
func lost(t *testing.T, c *Chat, without Passage) float64 {
	t.Helper()
	o := c.last.options
	at := c.last.trace.Strides[0].Context
	var answer []int32
	var with, left []lm.Evidence
	for _, s := range c.last.trace.Strides { // there is one
		answer = append(answer, s.Tokens...)
		for _, p := range s.Passages {
			ev := lm.Evidence{Tokens: c.e.model.Tokenizer.Encode(p.Evidence())}
			with = append(with, ev)
			if p.ID != without.ID {
				left = append(left, ev)
			}
		}
	}
	if n := len(answer); slices.Contains(o.StopTokens, answer[n-1]) {
		answer = answer[:n-1]
	}
	sum := func(evidence []lm.Evidence) (sum float64) {
		s := c.e.engine.NewSequence()
		defer s.Close()
		if err := s.Append(c.sequence.Tokens()[:at]...); err != nil {
			t.Fatal(err)
		}
		p, err := placement.Virtual.WithEcho(at - o.Turn)
		if err != nil {
			t.Fatal(err)
		}
		if p, err = p.WithApart(o.Placement.Apart); err != nil {
			t.Fatal(err)
		}
		scores, err := s.Score(context.Background(), p, evidence, answer)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range scores {
			sum += s
		}
		return sum
	}
	return sum(with) - sum(left)
}

// kettles opens the default model with an index of two short documents.
func kettles(t testing.TB) *Engine {
	t.Helper()
	model, dir := hubtest.Model(t), t.TempDir()
	for name, text := range map[string]string{
		"red.md":  "# Red\n\nThe red kettle whistles when the water boils. It was bought in Delft.",
		"blue.md": "# Blue\n\nThe blue kettle hums. It stands on the shelf above the stove.",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	chunker, err := corpus.NewChunker(corpus.Chunking{Unit: corpus.Words, Size: 120}, nil)
	if err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(t.TempDir(), "kettles.index")
	o := collection.Options{Chunker: chunker, Index: bm25.BuildOptions{Analyzer: analysis.Folding}}
	if _, err := collection.Build(context.Background(), index, []string{filepath.Join(dir, "red.md"), filepath.Join(dir, "blue.md")}, o); err != nil {
		t.Fatal(err)
	}
	e, err := Open(Options{Model: model, Indexes: []string{index}, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// What an answer is from can be told from its trace by another conversation, stride by
// stride, and the trace of another answer is refused.
func TestRecall(t *testing.T) {
	e := kettles(t)
	r := AnswerDefaults()
	r.MaxTokens, r.Stride = 8, 4
	c := e.NewChat("")
	defer c.Close()
	const question = "What does the red kettle do?"
	var trace Trace
	for event, err := range c.Ask(t.Context(), question, r) {
		if err != nil {
			t.Fatal(err)
		}
		trace.Add(event)
	}
	want, err := c.Provenance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range slices.Concat(want.Sources, want.Unused) {
		nats := 0.0
		for i, stride := range trace.Strides {
			for j, p := range stride.Passages {
				if p.ID == s.ID && p.Source == s.Source {
					nats += want.Strides[i].Nats[j]
				}
			}
		}
		if math.Abs(nats-s.Nats) > 1e-6 || nats == 0 {
			t.Errorf("the strides lose %v nats without %q, the answer %v", nats, s.ID, s.Nats)
		}
	}
	for name, change := range map[string]func(*Trace){
		"":              func(*Trace) {},
		"a token":       func(t *Trace) { t.Strides[1].Tokens = []int32{1 << 30} },
		"none":          func(t *Trace) { t.Strides[1].Tokens = []int32{-1} },
		"a place":       func(t *Trace) { t.Strides[1].Context++ },
		"many passages": func(t *Trace) { t.Strides[0].Passages = slices.Repeat(t.Strides[0].Passages, 99) },
		"a long text":   func(t *Trace) { t.Strides[len(t.Strides)-1].Tokens = make([]int32, 1<<20) },
	} {
		changed := trace
		changed.Strides = slices.Clone(trace.Strides)
		change(&changed)
		again := e.NewChat("")
		if err := again.Recall(question, r, changed); (err == nil) != (name == "") {
			t.Errorf("%q changed: %v", name, err)
		}
		if got, err := again.Provenance(t.Context()); name == "" && (err != nil || !reflect.DeepEqual(got, want) || !slices.Equal(again.Messages(), c.Messages())) {
			t.Errorf("recalled, it is %+v, %v, not %+v", got, err, want)
		}
		again.Close()
	}
	other := e.NewChat("")
	defer other.Close()
	if err := other.Recall("And the blue one? Which is it, then?", r, trace); !errors.Is(err, ErrOtherTrace) {
		t.Errorf("another question: %v", err)
	}
}
