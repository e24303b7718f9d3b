package eval

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/oracle"
	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/sample"
)

var allRows = []string{"none", "prepend", "virtual", "virtual:k=3", "append", "append:echo=16", "append:sink=7", "virtual:sink=7", "none:sink=7"}

// TestScoresAgreeWithTheOracle exports every stride of every row and scores it
// again with the oracle, which keeps nothing and knows no rows. The tiny model's
// log-probabilities go to -30, where two f32 computations differ by about 1e-4; any
// wrong token, position or passage changes them by far more than 1e-3.
func TestScoresAgreeWithTheOracle(t *testing.T) {
	for _, lead := range [][]int32{nil, {5}} {
		t.Run(fmt.Sprint("lead ", lead), func(t *testing.T) { scoresAgreeWithTheOracle(t, lead) })
	}
}

func scoresAgreeWithTheOracle(t *testing.T, lead []int32) {
	rows := allRows
	if lead != nil {
		rows = allRows[:6] // the others name a sink
	}
	s := newSmall(t, rows...)
	s.Lead = lead
	log := NewLog()
	s.run(t, log)
	var out strings.Builder
	if err := s.Export(context.Background(), &out, s.windows, log); err != nil {
		t.Fatal(err)
	}
	o := oracle.New(s.weights)
	cases, next := 0, ""
	for line := range strings.Lines(out.String()) {
		var c Case
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		row, err := ParseRow(c.Row, -1)
		if err != nil {
			t.Fatal(err)
		}
		if row.Placement.Name != c.Placement || row.Placement.Echo != c.Echo || len(c.Evidence) != row.K {
			t.Fatalf("%s: exported as %s, echo %d, %d passages", c.Row, c.Placement, c.Echo, len(c.Evidence))
		}
		window := s.windows[c.Window].Tokens
		if !slices.Equal(c.Context[:len(lead)], lead) {
			t.Fatalf("%s: the context begins with %d", c.Row, c.Context[0])
		}
		plain := c.Context[len(lead):]
		if row.Sink >= 0 {
			if plain[0] != row.Sink {
				t.Fatalf("%s: the context begins with %d", c.Row, plain[0])
			}
			plain = plain[1:]
		}
		if !slices.Equal(append(slices.Clone(plain), c.Target...), window[:len(plain)+recipe.Stride]) {
			t.Fatalf("%s: context and target are not the window's beginning", c.Row)
		}
		evidence := make([]lm.Evidence, len(c.Evidence))
		for i, tokens := range c.Evidence {
			evidence[i] = lm.Evidence{Tokens: tokens, Weight: 1}
		}
		logits, err := o.Recompute(context.Background(), row.Placement, c.Context, evidence, c.Target)
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range logits {
			if want := float64(l[c.Target[i]]) - sample.LogSumExp(l); math.Abs(c.Ours[i]-want) > 1e-3 {
				t.Fatalf("%s, window %d, context %d, target %d: %v, the oracle says %v", c.Row, c.Window, len(plain), i, c.Ours[i], want)
			}
		}
		cases++
		next = line
	}
	if want := len(s.windows) * len(rows) * len(recipe.Contexts()); cases != want {
		t.Errorf("%d cases, want %d; the last is %s", cases, want, next)
	}
}

// TestRowsDiffer makes sure that the rows are not one and the same.
func TestRowsDiffer(t *testing.T) {
	s := newSmall(t, allRows...)
	log := NewLog()
	s.run(t, log)
	seen := map[float64]Row{}
	for _, r := range s.Rows {
		score, ok := log.Score(r, s.windows[0])
		if !ok {
			t.Fatalf("%s has no score", r)
		}
		nats := score.sum().nats
		if other, ok := seen[nats]; ok {
			t.Errorf("%s and %s have the same score", r, other)
		}
		seen[nats] = r
		for _, st := range score.Strides {
			if len(st.Passages) != r.K {
				t.Errorf("%s: %d passages, want %d", r, len(st.Passages), r.K)
			}
		}
	}
	// Rows of one sink share a sequence.
	if want := 2 * len(s.windows); s.sequences != want {
		t.Errorf("%d sequences, want %d", s.sequences, want)
	}
}

// TestTheBestOfSeveral: of several passages that one counts with which the row alone, shown
// it, makes the target likeliest, and it is exported.
func TestTheBestOfSeveral(t *testing.T) {
	s := newSmall(t, "append", "append:best=4")
	log := NewLog()
	s.run(t, log)
	others := 0
	for _, w := range s.windows {
		first, _ := log.Score(s.Rows[0], w)
		best, _ := log.Score(s.Rows[1], w)
		strides, err := s.strides(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		for i, st := range strides {
			sums := map[string]float64{}
			for _, p := range st.passages {
				sequence := s.NewSequence(s.Rows[0])
				if err := sequence.Append(w.Tokens[:st.context]...); err != nil {
					t.Fatal(err)
				}
				_, evidence := s.place(s.Rows[0], []retrieve.Passage{p})
				logProbs, err := sequence.Score(t.Context(), s.Rows[0].Placement, evidence, st.target)
				if err != nil {
					t.Fatal(err)
				}
				sequence.Close()
				for _, v := range logProbs {
					sums[p.ID] += v
				}
			}
			got := 0.0
			for _, v := range best.Strides[i].LogProbs {
				got += v
			}
			if len(sums) != 4 || got != slices.Max(slices.Collect(maps.Values(sums))) || sums[best.Strides[i].Passages[0]] != got {
				t.Errorf("context %d: the best is %v with %v, of %v", st.context, best.Strides[i].Passages, got, sums)
			}
			if best.Strides[i].Passages[0] != first.Strides[i].Passages[0] {
				others++
			}
		}
	}
	if others == 0 {
		t.Error("the first passage is always the best: nothing was chosen")
	}
	var out strings.Builder
	if err := s.Export(t.Context(), &out, s.windows, log); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		var c Case
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		if c.Row != "append:best=4" {
			continue
		}
		logits, err := oracle.New(s.weights).Recompute(t.Context(), s.Rows[0].Placement, c.Context, []lm.Evidence{{Tokens: c.Evidence[0], Weight: 1}}, c.Target)
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range logits {
			if want := float64(l[c.Target[i]]) - sample.LogSumExp(l); math.Abs(c.Ours[i]-want) > 1e-3 {
				t.Fatalf("window %d, context %d: exported with another passage than it was scored with", c.Window, len(c.Context))
			}
		}
	}
}

// TestWithoutHits: a stride whose query finds nothing is none's, bit for bit.
func TestWithoutHits(t *testing.T) {
	s := newSmall(t, "none", "prepend", "virtual", "append")
	s.shelf.passages = nil
	log := NewLog()
	s.run(t, log)
	for _, w := range s.windows {
		none, _ := log.Score(s.Rows[0], w)
		for _, r := range s.Rows[1:] {
			got, _ := log.Score(r, w)
			if got.sum() != none.sum() {
				t.Errorf("window %d: %s without passages scores %v, none %v", w.Index, r, got.sum(), none.sum())
			}
		}
	}
}

func TestQueriesAreTheLastTokens(t *testing.T) {
	s := newSmall(t, "virtual", "append:k=4")
	s.Lead = []int32{5}
	s.run(t, NewLog())
	i := 0
	for _, w := range s.windows {
		for _, p := range recipe.Contexts() {
			q := s.shelf.queries[i]
			i++
			if want := (byteTokens{}).Decode(w.Tokens[p-32 : p]); q.Text != want || q.K != 4 {
				t.Errorf("window %d at %d: query %q for %d, want %q for 4", w.Index, p, q.Text, q.K, want)
			}
			if !slices.Equal(q.ExcludeIDs, []string{w.Document}) || !slices.Equal(q.ExcludeTitles, []string{w.Title}) {
				t.Errorf("window %d at %d: the query excludes %v and %v", w.Index, p, q.ExcludeIDs, q.ExcludeTitles)
			}
		}
	}
	if i != len(s.shelf.queries) {
		t.Errorf("%d queries, want %d: one a stride for all rows", len(s.shelf.queries), i)
	}
}

// TestNeverItsOwnDocument puts the window's document on the shelf, cut and whole.
func TestNeverItsOwnDocument(t *testing.T) {
	s := newSmall(t, "virtual:k=2")
	own := s.windows[0]
	for _, id := range []string{"d0", "d0#0", "d0#512"} {
		p := s.shelf.passages[0]
		p.ID, p.Text = id, byteTokens{}.Decode(own.Tokens)
		s.shelf.passages = append(s.shelf.passages, p)
	}
	other := s.shelf.passages[0]
	other.ID, other.Text = "d01#0", byteTokens{}.Decode(own.Tokens) // another document
	s.shelf.passages = append(s.shelf.passages, other)
	log := NewLog()
	s.run(t, log)
	score, _ := log.Score(s.Rows[0], own)
	for _, st := range score.Strides {
		if len(st.Passages) != 2 || st.Passages[0] != "d01#0" || strings.HasPrefix(st.Passages[1], "d0") {
			t.Errorf("context %d: passages %v, want d01#0 and one of the others", st.Context, st.Passages)
		}
	}
}

func TestNewWords(t *testing.T) {
	for _, c := range []struct {
		before, target string
		want           int
	}{
		{"one two", " three four", 2},
		{"one tw", "o three", 1},
		{"one ", "two", 1},
		{"one", "", 0},
		{"", "  \n", 0},
		{"one\n", "\n two\u00a0three", 2},
	} {
		if got := newWords(c.before, c.target); got != c.want {
			t.Errorf("newWords(%q, %q) = %d, want %d", c.before, c.target, got, c.want)
		}
	}
}
