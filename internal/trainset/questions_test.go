package trainset

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/hub/hubtest"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/retrieve"
)

// found finds the same passages for every question.
type found []retrieve.Passage

func (f found) Retrieve(_ context.Context, q retrieve.Query) ([]retrieve.Passage, error) {
	if strings.Contains(q.Text, "<|") {
		panic("the template is looked up")
	}
	return f[:min(q.K, len(f))], nil
}

// TestExchange: the prompt ends where the answer begins, the turn begins with the
// question, and the question's own passage is there once.
func TestExchange(t *testing.T) {
	tk, err := model.LoadTokenizer(hubtest.Model(t))
	if err != nil {
		t.Fatal(err)
	}
	shelf := found{
		{ID: "roses#0", Title: "Garden", Text: "The gardener waters the roses.", Breadcrumb: true, Score: 2},
		{ID: "keys#0", Title: "Keys", Text: "They hang behind the CLOCK in the kitchen.", Breadcrumb: true, Score: 1},
	}
	q := Question{
		ID: "q", Question: "Where do the keys hang?", Answers: []string{"clock", "behind the clock", "behind the clock, on a nail"},
		PassageID: "keys", PassageTitle: "Keys", Passage: "They hang behind the CLOCK in the kitchen.",
	}
	for name, c := range map[string]struct {
		k        int
		change   func(*Question)
		own      int
		passages int
		answer   string
	}{
		"found":      {2, func(*Question) {}, 1, 2, "behind the clock"},
		"not found":  {1, func(*Question) {}, 1, 2, "behind the clock"},
		"unknown":    {2, func(q *Question) { q.PassageID, q.Passage = "", "" }, -1, 2, "behind the clock, on a nail"},
		"not quoted": {1, func(q *Question) { q.Passage = "Elsewhere." }, -1, 1, "behind the clock, on a nail"},
	} {
		asked := q
		c.change(&asked)
		e := Exchanges{Tokenizer: tk, Retriever: shelf, Systems: []string{"Be brief."}, K: c.k, PassageLen: 8, Threads: 2}
		made, err := e.Make(t.Context(), []Question{asked}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		x := made[0]
		if x.Own != c.own || len(x.Passages) != c.passages {
			t.Errorf("%s: own passage %d of %d, want %d of %d", name, x.Own, len(x.Passages), c.own, c.passages)
		}
		if got := tk.Decode(x.Tokens[x.Turn:x.Context]); !strings.HasPrefix(got, q.Question) {
			t.Errorf("%s: the turn is %q", name, got)
		}
		if got := tk.Decode(x.Tokens[:x.Turn]); !strings.Contains(got, "Be brief.") || strings.Contains(got, "keys") {
			t.Errorf("%s: before the turn stands %q", name, got)
		}
		if got := x.Tokens[x.Context:]; tk.Decode(got[:len(got)-1]) != c.answer || got[len(got)-1] != tk.EOS() {
			t.Errorf("%s: the answer is %q", name, tk.Decode(got))
		}
		for _, p := range x.Passages {
			if len(p.Tokens) > 8 {
				t.Errorf("%s: a passage of %d tokens", name, len(p.Tokens))
			}
		}
		if c.own >= 0 && !strings.HasPrefix(tk.Decode(x.Passages[c.own].Tokens), "Keys\nThey hang") {
			t.Errorf("%s: its own passage is %q", name, tk.Decode(x.Passages[c.own].Tokens))
		}
	}
	h := (&Exchanges{Tokenizer: tk}).Header(1, "i")
	if tk.Decode(h.Separator) != "\n\n" || h.Nothing[len(h.Nothing)-1] != tk.EOS() || !slices.Equal(h.Nothing[:len(h.Nothing)-1], tk.Encode(Nothing)) {
		t.Errorf("the header is %+v", h)
	}
}

func TestReadQuestions(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "no question",
		"{\n":                             "line 1 is no question",
		`{"question":"q"}`:                "line 1: it needs",
		`{"answers":["a"]}`:               "line 1: it needs",
		`{"question":"q","answers":[""]}`: "line 1: it needs",
		`{"question":"q","answers":["a"]}` + "\n5": "line 2 is no question",
	} {
		if _, err := ReadQuestions(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// FuzzQuestions: whatever the lines are, each question that is read has an answer.
func FuzzQuestions(f *testing.F) {
	f.Add(`{"id":"1","question":"q","answers":["a","ab"],"passage_id":"p","passage":"AB"}`)
	f.Add(`{"question":"q","answers":["a"]}` + "\n{}")
	f.Fuzz(func(t *testing.T, text string) {
		questions, err := ReadQuestions(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, q := range questions {
			if !slices.Contains(q.Answers, q.answer()) {
				t.Errorf("%+v is answered by %q", q, q.answer())
			}
		}
	})
}
