package server

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/ralm"
)

// fake is a model whose tokens are characters, and which writes what it is told to: a
// stride of two passages, or none, every four tokens.
type fake struct {
	text    string
	err     error         // instead of an end
	cut     bool          // it ends at a limit
	hold    chan struct{} // each token waits for one; nil: none does
	info    flashback.Info
	asked   []flashback.Message
	request flashback.Request
	closed  int
}

func (f *fake) Info() flashback.Info { f.info.Context = 1000; f.info.Vocab = 1000; return f.info }
func (*fake) KV() flashback.KVUsage  { return flashback.KVUsage{Pages: 75, Kept: 25, Limit: 100} }
func (*fake) Tokens(text string, special bool) []int32 {
	var ids []int32
	for _, r := range text {
		ids = append(ids, int32(r))
	}
	return ids
}

func (*fake) Text(tokens []int32, special bool) string {
	var b strings.Builder
	for _, id := range tokens {
		b.WriteRune(rune(id))
	}
	return b.String()
}

func (f *fake) ChatTokens(messages []flashback.Message) ([]int32, error) {
	var b strings.Builder
	for _, m := range messages {
		if m.Content == "refused by the template" {
			return nil, errors.New("the template refuses it")
		}
		fmt.Fprintf(&b, "<%s>%s", m.Role, m.Content)
	}
	return f.Tokens(b.String(), false), nil
}

func (f *fake) Plan(r flashback.Request, chat bool) (flashback.Plan, error) {
	r, err := r.Resolve(flashback.AdapterInfo{}, r.Retriever != nil, chat)
	return flashback.Plan{Request: r, Room: 900}, err
}

func (f *fake) Choices(ctx context.Context, r flashback.Request, n int) iter.Seq2[flashback.Choice, error] {
	f.request = r
	return func(yield func(flashback.Choice, error) bool) {
		for i := range n {
			if !f.write(ctx, r, i, yield) {
				return
			}
		}
	}
}

func (f *fake) write(ctx context.Context, r flashback.Request, index int, yield func(flashback.Choice, error) bool) bool {
	say := func(e flashback.Event) bool { return yield(flashback.Choice{Index: index, Event: e}, nil) }
	tokens := f.Tokens(f.text, false)
	for i, id := range tokens {
		if i%4 == 0 {
			s := flashback.Stride{Index: i / 4, Context: 10 + i, Placement: r.Placement}
			if r.Retriever != nil {
				found, err := r.Retriever.Retrieve(ctx, flashback.Query{Text: "asked", K: r.Passages})
				if err != nil {
					return yield(flashback.Choice{}, fmt.Errorf("looking passages up: %w", err))
				}
				for _, p := range found {
					s.Passages = append(s.Passages, ralm.Placed{Passage: p, Tokens: 5})
				}
			}
			if !say(s) {
				return false
			}
		}
		if f.hold != nil {
			select {
			case <-f.hold:
			case <-ctx.Done():
				return say(flashback.Finish{Reason: ralm.Cancelled})
			}
		}
		if !say(flashback.Token{ID: id, Text: string(rune(id)), Logprob: -0.5, Likeliest: []flashback.Likely{{ID: id, Logprob: -0.5}}}) {
			return false
		}
	}
	if f.err != nil {
		return yield(flashback.Choice{}, f.err)
	}
	reason := ralm.EOS
	if f.cut {
		reason = ralm.Limit
	}
	return say(flashback.Finish{Reason: reason, Tokens: len(tokens), Counts: flashback.Counts{Prompt: 6, PromptReused: 4, Evidence: 30, EvidenceReused: 5}})
}

func (f *fake) Score(_ context.Context, r flashback.Request, row func(flashback.Likely, []flashback.Likely)) error {
	for _, id := range r.Tokens[1:] {
		row(flashback.Likely{ID: id, Logprob: -1}, []flashback.Likely{{ID: id, Logprob: -1}})
	}
	return nil
}

func (f *fake) NewChat(messages []flashback.Message) Chat {
	f.asked = messages
	return &fakeChat{f}
}

type fakeChat struct{ *fake }

func (c *fakeChat) Choices(ctx context.Context, question string, r flashback.Request, n int) iter.Seq2[flashback.Choice, error] {
	c.asked = append(c.asked[:len(c.asked):len(c.asked)], flashback.Message{Role: "user", Content: question})
	return c.fake.Choices(ctx, r, n)
}

func (c *fakeChat) Provenance(context.Context) (flashback.Provenance, error) {
	return flashback.Provenance{Found: true}, nil
}

func (c *fakeChat) Recall(question string, r flashback.Request, trace flashback.Trace) error {
	if trace.Strides[0].Context != 10 {
		return flashback.ErrOtherTrace
	}
	c.request, c.asked = r, append(c.asked[:len(c.asked):len(c.asked)], flashback.Message{Role: "user", Content: question})
	return nil
}

func (c *fakeChat) Close() { c.closed++ }

// shelf is a library of two indexes that always find the same.
type shelf struct {
	err         error
	held        int
	generations []uint64
}

func (*shelf) Names() []string { return []string{"law", "notes"} }

func (s *shelf) Acquire(names ...string) (Reading, error) {
	s.held++
	return &found{s, names}, nil
}

type found struct {
	*shelf
	names []string
}

func (f *found) Retrieve(context.Context, flashback.Query) ([]flashback.Passage, error) {
	return []flashback.Passage{
		{ID: "a.md#1", Title: "Keys", Text: "They hang behind the door.", Source: "a.md", Score: 2},
		{ID: "b#2", Text: "A tower.", Source: "b", Score: 1},
	}, f.err
}

func (*found) Neighbour(context.Context, flashback.Passage, int) (flashback.Passage, bool, error) {
	return flashback.Passage{}, false, nil
}
func (*found) Covered(string, flashback.Passage) (float64, error) { return 1, nil }
func (f *found) Cite(p flashback.Passage) (index, id string)      { return f.names[0], "psg_" + p.ID[:1] }
func (f *found) Generations() []uint64                            { return f.generations }
func (f *found) Release()                                         { f.held-- }

// serve returns a server of a fake model.
func serve(t *testing.T, m *fake, change ...func(*Options)) *Server {
	t.Helper()
	return started(t, Options{Model: m, Name: "tiny", Library: &shelf{}, Adapters: []Adapter{{Name: "terse"}}}, change)
}

// started returns a server of changed options, whose answers are held against the
// description.
func started(t testing.TB, o Options, change []func(*Options)) *Server {
	t.Helper()
	for _, c := range change {
		c(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.handler = held(t, s.handler)
	return s
}

// post sends a body as JSON, with a key where one is given.
func post(s http.Handler, path, body string, key ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "http://localhost:8080"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for _, k := range key {
		r.Header.Set("Authorization", "Bearer "+k)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}
