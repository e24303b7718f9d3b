package ralm_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/sample"
)

// trace runs a generation to its end.
func trace(t *testing.T, s ralm.Sequence, r retrieve.Retriever, prompt string, o ralm.Options) ralm.Trace {
	t.Helper()
	var tr ralm.Trace
	for e, err := range ralm.New(s, bytes{}, r).Generate(t.Context(), bytes{}.Encode(prompt), o) {
		if err != nil {
			t.Fatal(err)
		}
		tr.Add(e)
	}
	if tr.Finish == nil {
		t.Fatal("no finish")
	}
	return tr
}

func tokens(text string) []int32 { return bytes{}.Encode(text) }

var twoPassages = []retrieve.Passage{
	{ID: "a#0", Title: "A", Text: "alpha", First: true, Score: 10},
	{ID: "b#7", Title: "B", Text: "beta", Score: 5},
}

func TestStrides(t *testing.T) {
	s, r := newScript("0123456789abcdefghij"), &shelf{passages: twoPassages}
	o := ralm.Defaults()
	o.Stride, o.QueryLen, o.K, o.MaxTokens = 8, 6, 2, 20
	o.ExcludeIDs, o.ExcludeTitles = []string{"x"}, []string{"Y"}
	tr := trace(t, s, r, "prompt: ", o)

	if got := tr.Text(); got != "0123456789abcdefghij" {
		t.Errorf("text %q", got)
	}
	var queries []string
	for _, q := range r.queries {
		queries = append(queries, q.Text)
		if q.K != 2 || !slices.Equal(q.ExcludeIDs, o.ExcludeIDs) || !slices.Equal(q.ExcludeTitles, o.ExcludeTitles) {
			t.Errorf("query %+v", q)
		}
	}
	if want := []string{"ompt: ", "234567", "abcdef"}; !slices.Equal(queries, want) {
		t.Errorf("queries %q, want %q", queries, want)
	}
	text := tokens("prompt: 0123456789abcdefghij")
	for i, c := range s.calls {
		if from := 8 + 8*i; !slices.Equal(c.context, text[:from]) {
			t.Errorf("stride %d: context %v", i, c.context)
		}
		if want := []int{8, 8, 4}[i]; c.n != want {
			t.Errorf("stride %d: %d tokens asked for, want %d", i, c.n, want)
		}
		if c.placement != placement.Virtual {
			t.Errorf("stride %d: placement %+v", i, c.placement)
		}
		// The title stands before a document's first chunk only.
		if len(c.evidence) != 2 || !slices.Equal(c.evidence[0].Tokens, tokens("A\nalpha")) || !slices.Equal(c.evidence[1].Tokens, tokens("beta")) {
			t.Errorf("stride %d: evidence %v", i, c.evidence)
		}
	}
	if len(s.calls) != 3 || len(tr.Strides) != 3 {
		t.Errorf("%d strides, %d traced, want 3", len(s.calls), len(tr.Strides))
	}
	f := tr.Finish
	if f.Reason != ralm.Limit || f.Tokens != 20 || f.Counts.Decoded != 20 || f.Counts.Prompt != 8 {
		t.Errorf("finish %+v", f)
	}
	if got := tr.Strides[2]; got.Index != 2 || got.Context != 24 || got.Placement != "virtual" || got.Text != "ghij" ||
		!slices.Equal(got.Tokens, tokens("ghij")) || got.Passages[0].Tokens != 7 || got.Passages[1].Tokens != 4 || got.Passages[1].Weight != 0 {
		t.Errorf("traced %+v", got)
	}
	if got := tr.Sources(); !reflect.DeepEqual(got, twoPassages) {
		t.Errorf("sources %+v", got)
	}
}

func TestEvidence(t *testing.T) {
	long := retrieve.Passage{ID: "l", Text: "0123456789", Score: 4}
	blank := retrieve.Passage{ID: "e", Score: 3}
	negative := []retrieve.Passage{{ID: "m", Text: "m", Score: -1}, {ID: "n", Text: "n", Score: -2}}
	for _, c := range []struct {
		name     string
		passages []retrieve.Passage
		set      func(*ralm.Options)
		want     []lm.Evidence
	}{
		{"cut", []retrieve.Passage{long}, func(o *ralm.Options) { o.PassageLen = 4 }, []lm.Evidence{{Tokens: tokens("0123"), Weight: 1}}},
		{"marks stand outside the length", []retrieve.Passage{long}, func(o *ralm.Options) { o.PassageLen, o.Marks = 4, &ralm.Marks{Left: left, Right: right} },
			[]lm.Evidence{{Tokens: []int32{left, '0', '1', '2', '3', right}, Weight: 1}}},
		{"empty passages are left out, marks or not", []retrieve.Passage{blank, long}, func(o *ralm.Options) { o.PassageLen, o.Marks = 1, &ralm.Marks{Left: left, Right: right} },
			[]lm.Evidence{{Tokens: []int32{left, '0', right}, Weight: 1}}},
		// softmax(10·1, 10·½) and softmax(2·1, 2·½)
		{"weights", twoPassages, func(*ralm.Options) {}, []lm.Evidence{{Tokens: tokens("A\nalpha"), Weight: 1 / (1 + math.Exp(-5))}, {Tokens: tokens("beta"), Weight: 1 / (1 + math.Exp(5))}}},
		{"weights by another factor", twoPassages, func(o *ralm.Options) { o.MixFactor = 2 }, []lm.Evidence{{Tokens: tokens("A\nalpha"), Weight: 1 / (1 + math.Exp(-1))}, {Tokens: tokens("beta"), Weight: 1 / (1 + math.E)}}},
		{"scores without proportions", negative, func(*ralm.Options) {}, []lm.Evidence{{Tokens: tokens("m"), Weight: .5}, {Tokens: tokens("n"), Weight: .5}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScript("ab")
			o := ralm.Defaults()
			o.Placement, o.K, o.MaxTokens, o.Stride = placement.Append, 2, 2, 1 // twice, so kept tokens are used too
			c.set(&o)
			tr := trace(t, s, &shelf{passages: c.passages}, "prompt", o)
			for i, call := range s.calls {
				if len(call.evidence) != len(c.want) {
					t.Fatalf("evidence %v, want %v", call.evidence, c.want)
				}
				for j, got := range call.evidence {
					if want := c.want[j]; !slices.Equal(got.Tokens, want.Tokens) || math.Abs(got.Weight-want.Weight) > 1e-12 {
						t.Errorf("passage %d: %v, want %v", j, got, want)
					}
					if p := tr.Strides[i].Passages[j]; p.Weight != got.Weight || p.Tokens != len(got.Tokens) {
						t.Errorf("traced %+v", p)
					}
				}
			}
		})
	}
}

func TestNothingToShow(t *testing.T) {
	for _, c := range []struct {
		name, prompt string
		passages     []retrieve.Passage
		p            placement.Placement
		queries      int
	}{
		{"no hits", "prompt", nil, placement.Virtual, 1},
		{"only empty passages", "prompt", []retrieve.Passage{{ID: "e"}}, placement.Append, 1},
		{"one token of text", "p", twoPassages, placement.Append, 0},
		{"no retrieval", "prompt", twoPassages, placement.None, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, r := newScript("ab"), &shelf{passages: c.passages}
			o := ralm.Defaults()
			o.Placement, o.MaxTokens = c.p, 2
			tr := trace(t, s, r, c.prompt, o)
			if got := s.calls[0]; got.placement != placement.None || len(got.evidence) != 0 || tr.Strides[0].Placement != "none" {
				t.Errorf("stride %+v", got)
			}
			if len(r.queries) != c.queries {
				t.Errorf("%d queries, want %d", len(r.queries), c.queries)
			}
		})
	}
}

func TestFinish(t *testing.T) {
	for _, c := range []struct {
		name   string
		script *script
		set    func(*ralm.Options)
		reason ralm.Reason
		text   string
		tokens int
	}{
		{"limit", newScript("abcdef"), func(o *ralm.Options) { o.MaxTokens = 3 }, ralm.Limit, "abc", 3},
		{"limit in a held-back text", newScript("abST"), func(o *ralm.Options) { o.MaxTokens, o.Stop = 4, []string{"STOP"} }, ralm.Limit, "abST", 4},
		{"stop token", newScript("abcde", eos), func(o *ralm.Options) { o.StopTokens = []int32{eos} }, ralm.EOS, "abcde", 6},
		{"stop token with text", newScript("abc\n"), func(o *ralm.Options) { o.StopTokens = []int32{'\n'} }, ralm.EOS, "abc", 4},
		{"stop string over strides", newScript("abcSTOPx"), func(o *ralm.Options) { o.Stop = []string{"STOP"} }, ralm.Stop, "abc", 7},
		{"broken character at the end", newScript("a\xe2\x82", eos), func(o *ralm.Options) { o.StopTokens = []int32{eos} }, ralm.EOS, "a", 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := ralm.Defaults()
			o.Stride = 4
			c.set(&o)
			tr := trace(t, c.script, &shelf{passages: twoPassages}, "prompt", o)
			if f := tr.Finish; f.Reason != c.reason || tr.Text() != c.text || f.Tokens != c.tokens {
				t.Errorf("%s, %q, %d tokens; want %s, %q, %d", f.Reason, tr.Text(), f.Tokens, c.reason, c.text, c.tokens)
			}
			if n := c.script.Len(); n != 6+c.tokens {
				t.Errorf("%d tokens kept", n)
			}
		})
	}
}

// TestLength: before each stride, context, evidence, an echo behind it and stride must fit;
// the last stride is as short as what is left.
func TestLength(t *testing.T) {
	echo3, err := placement.Append.WithEcho(3)
	if err != nil {
		t.Fatal(err)
	}
	again3, err := placement.Virtual.WithEcho(3)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		p     placement.Placement
		needs int // positions of the first stride of 4, after 6 of prompt
	}{
		{"the longest of the branches", placement.Append, 6 + 7 + 4},
		{"echo", echo3, 6 + 7 + 3 + 4},
		{"all passages side by side", placement.Virtual, 6 + 7 + 4 + 4},
		{"side by side with an echo", again3, 6 + 7 + 4 + 4},
		{"no evidence", placement.None, 6 + 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			for limit, want := range map[int]struct{ strides, tokens int }{
				c.needs - 4: {0, 0}, c.needs - 3: {1, 1}, c.needs - 1: {1, 3}, c.needs: {1, 4}, c.needs + 3: {2, 7}, c.needs + 4: {2, 8},
			} {
				if limit == 6 {
					continue // the prompt itself is too long
				}
				s := newScript("0123456789")
				s.limit = limit
				o := ralm.Defaults()
				o.Placement, o.Stride, o.K, o.MaxTokens = c.p, 4, 2, 100
				tr := trace(t, s, &shelf{passages: twoPassages}, "prompt", o)
				if tr.Finish.Reason != ralm.Length || len(s.calls) != want.strides || len(tr.Strides) != want.strides || tr.Finish.Tokens != want.tokens {
					t.Errorf("context of %d: %s after %d strides and %d tokens, want length after %d and %d", limit, tr.Finish.Reason, len(s.calls), tr.Finish.Tokens, want.strides, want.tokens)
				}
			}
		})
	}
}

func TestSink(t *testing.T) {
	s, r := newScript("abcd"), &shelf{passages: twoPassages}
	o := ralm.Defaults()
	o.Sink, o.MaxTokens, o.QueryLen = sink, 2, 99
	var rest [][]int32
	o.Query = func(text []int32, prompt int) string {
		rest = append(rest, slices.Clone(text[prompt:]))
		return ralm.LastTokens(bytes{}, 99)(text, prompt)
	}
	trace(t, s, r, "prompt", o)
	trace(t, s, r, "next", o) // a text that goes on gets no second sink
	if want := append([]int32{sink}, tokens("promptabnextcd")...); !slices.Equal(s.tokens, want) {
		t.Errorf("text %v, want %v", s.tokens, want)
	}
	if r.queries[0].Text != "prompt" || r.queries[1].Text != "promptabnext" {
		t.Errorf("queries %+v", r.queries)
	}
	if len(rest[0]) != 0 || len(rest[1]) != 0 {
		t.Errorf("the prompt does not end where the answer begins: %v", rest)
	}
}

func TestQueries(t *testing.T) {
	paper := ralm.LastTokens(bytes{}, 4)
	for text, want := range map[string]string{
		"abcdef":           "cdef",
		"ab":               "ab",
		"a€bc":             "bc", // the euro sign has three bytes, two of them among the last four
		"€a":               "€a",
		"\x82\x82\x82\x82": "\x82", // no character: at most three bytes of one are dropped
	} {
		if got := paper(tokens(text), 0); got != want {
			t.Errorf("query of %q: %q, want %q", text, got, want)
		}
	}
	chat := ralm.Question(bytes{}, "Why?", 4)
	template := tokens("<user>Why?<assistant>")
	if got := chat(template, len(template)); got != "Why?" {
		t.Errorf("first query %q", got)
	}
	if got := chat(append(template, tokens("Because")...), len(template)); got != "Why? Why? ause" {
		t.Errorf("later query %q", got)
	}
}

func TestPrependInChat(t *testing.T) {
	s := newScript("ab")
	o := ralm.Defaults()
	o.Placement, o.MaxTokens = placement.Prepend, 2
	o.Placement.At = 3
	trace(t, s, &shelf{passages: twoPassages}, "prompt", o)
	if got := s.calls[0].placement.At; got != 3 {
		t.Errorf("evidence at token %d, want 3", got)
	}
}

// TestCancel cancels, and stops reading, within a stride: what was seen is kept.
func TestCancel(t *testing.T) {
	for _, desert := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		s := newScript("0123456789")
		o := ralm.Defaults()
		o.Placement, o.Stride = placement.Append, 4
		var tr ralm.Trace
		seen := 0
		for e, err := range ralm.New(s, bytes{}, &shelf{passages: twoPassages}).Generate(ctx, tokens("prompt"), o) {
			if err != nil {
				t.Fatal(err)
			}
			tr.Add(e)
			if _, ok := e.(ralm.Token); ok {
				seen++
			}
			if seen == 6 && desert {
				break
			} else if seen == 6 {
				cancel()
			}
		}
		cancel()
		if !desert && (tr.Finish == nil || tr.Finish.Reason != ralm.Cancelled || tr.Finish.Tokens != 6) {
			t.Errorf("finish %+v", tr.Finish)
		}
		if want := tokens("prompt012345"); !slices.Equal(s.tokens, want) {
			t.Errorf("kept %v, want %v", s.tokens, want)
		}
	}
}

func TestErrors(t *testing.T) {
	fail := errors.New("the index is gone")
	for _, c := range []struct {
		name, prompt string
		r            retrieve.Retriever
		set          func(*ralm.Options)
		want         string
	}{
		{"retriever", "prompt", &shelf{err: fail}, func(*ralm.Options) {}, "looking passages up: the index is gone"},
		{"no retriever", "prompt", nil, func(*ralm.Options) {}, "placement virtual: needs an index"},
		{"empty prompt", "", &shelf{}, func(*ralm.Options) {}, "prompt is empty"},
		{"long prompt", strings.Repeat("x", 1000), &shelf{}, func(*ralm.Options) {}, "1000 tokens and the model reads 1000"},
		{"stride", "prompt", &shelf{}, func(o *ralm.Options) { o.Stride = 0 }, "stride 0"},
		{"factor", "prompt", &shelf{}, func(o *ralm.Options) { o.MixFactor = math.NaN() }, "mixing factor NaN"},
		{"evidence behind the prompt", "prompt", &shelf{}, func(o *ralm.Options) { o.Placement = placement.Prepend; o.Placement.At = 6 }, "at token 6 of a prompt of 6"},
		{"record", "prompt", &shelf{}, func(o *ralm.Options) { o.Record = func(context.Context, ralm.Record) error { return fail } }, "the index is gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := ralm.Defaults()
			o.MaxTokens = 2
			c.set(&o)
			var errs []error
			for e, err := range ralm.New(newScript("abcd"), bytes{}, c.r).Generate(t.Context(), tokens(c.prompt), o) {
				if _, ok := e.(ralm.Finish); ok {
					t.Error("finished")
				}
				if err != nil {
					errs = append(errs, err)
				}
			}
			if len(errs) != 1 || !strings.Contains(errs[0].Error(), c.want) {
				t.Errorf("errors %v, want one that says %q", errs, c.want)
			}
		})
	}
}

// TestSamplerSeesTheText: the repetition penalty covers the prompt and what was
// sampled.
func TestSamplerSeesTheText(t *testing.T) {
	s := newScript("paa")
	o := ralm.Defaults()
	o.Placement, o.MaxTokens = placement.None, 3
	var err error
	if o.Sampler, err = sample.New(sample.Options{RepeatPenalty: 4, RepeatLast: 99}); err != nil {
		t.Fatal(err)
	}
	// The script's logit is 1, the others' ½: p stands in the prompt, a after the
	// second token.
	tr := trace(t, s, nil, "prompt", o)
	if got := tr.Strides[0].Tokens; !slices.Equal(got, []int32{0, 'a', 1}) {
		t.Errorf("tokens %v", got)
	}
}

func TestTraceJSON(t *testing.T) {
	o := ralm.Defaults()
	o.Placement, o.MaxTokens, o.K = placement.Append, 2, 2
	tr := trace(t, newScript("ab"), &shelf{passages: twoPassages}, "prompt", o)
	tr.Strides[0].Retrieve, tr.Finish.Retrieve, tr.Finish.FirstToken, tr.Finish.Decode = 1, 2, 3, 4
	raw, err := json.MarshalIndent(tr, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	var back ralm.Trace
	if err := json.Unmarshal(raw, &back); err != nil || !reflect.DeepEqual(tr, back) {
		t.Errorf("%v: read back %+v\nfrom %s", err, back, raw)
	}
	for _, key := range []string{`"query": "prompt"`, `"id": "a#0"`, `"score": 10`, `"evidence_tokens": 7`, `"weight": 0.99`, `"reason": "limit"`, `"decode_ns": 4`} {
		if !strings.Contains(string(raw), key) {
			t.Errorf("no %s in %s", key, raw)
		}
	}
}

// TestEqualIDs: two record files may both count their records from 1.
func TestEqualIDs(t *testing.T) {
	passages := []retrieve.Passage{
		{ID: "1", Source: "a.jsonl", Title: "A", Text: "alpha", First: true, Score: 2},
		{ID: "1", Source: "b.jsonl", Title: "B", Text: "beta", First: true, Score: 1},
		{ID: "1", Text: "gamma", Score: 1}, // of a service that names no sources
	}
	o := ralm.Defaults()
	o.K, o.Stride, o.MaxTokens, o.Placement = 3, 4, 8, placement.Append
	s := newScript("abcdefgh")
	tr := trace(t, s, &shelf{passages: passages}, "prompt", o)
	if got := tr.Sources(); !reflect.DeepEqual(got, passages) {
		t.Errorf("sources %+v", got)
	}
	for i, want := range []string{"A\nalpha", "B\nbeta", "gamma"} {
		if got := s.calls[1].evidence[i].Tokens; !slices.Equal(got, tokens(want)) {
			t.Errorf("passage %d is read as %v, not %q", i, got, want)
		}
	}
}
