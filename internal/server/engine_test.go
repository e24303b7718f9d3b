package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/adapters"
	"github.com/flashback-lm/flashback/internal/hub/hubtest"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// index is a library of one index.
type index struct{ *bm25.Several }

func (index) Names() []string                      { return []string{"notes"} }
func (x index) Acquire(...string) (Reading, error) { return x, nil }
func (index) Cite(p flashback.Passage) (index, id string) {
	return "notes", p.ID
}
func (index) Release() {}

// newIndex makes an index of a few documents.
func newIndex(t *testing.T, model string) index {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "x.index")
	docs := func(yield func(flashback.Document, error) bool) {
		for i, text := range []string{
			"The spare key of the north tower hangs behind the kitchen door, beside the blue coats.",
			"The harbour is twelve metres deep at low tide and closes at ten in the evening.",
			"The library lends maps for two weeks; old maps stay in the reading room.",
		} {
			if !yield(flashback.Document{ID: fmt.Sprint("d", i), Title: fmt.Sprint("Note ", i), Text: text}, nil) {
				return
			}
		}
	}
	if _, err := flashback.BuildIndex(t.Context(), dir, docs, flashback.IndexOptions{Model: model}); err != nil {
		t.Fatal(err)
	}
	s, err := bm25.OpenAll([]string{dir}, bm25.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return index{s}
}

// listen serves an engine on a port of this machine.
func listen(t *testing.T, e *flashback.Engine, change ...func(*Options)) (*Server, string) {
	t.Helper()
	o := Options{Model: Serve(e), Name: "tiny"}
	for _, c := range change {
		c(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, h.URL
}

// answered is what a test reads of an answer.
type answered struct {
	Choices []struct {
		Message struct {
			Content     string
			Annotations []annotation
		}
		Finish string `json:"finish_reason"`
	}
	Usage usage
	Error *Error
}

// askChat sends a chat and returns its answer.
func askChat(t *testing.T, url, key, body string) (a answered) {
	t.Helper()
	r, err := http.NewRequest("POST", url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return a
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || a.Error == nil && len(a.Choices) == 0 {
		t.Errorf("%s: status %d, %v", body, resp.StatusCode, err)
	}
	return a
}

// What the default model answers over HTTP, whole, streamed or beside others, is token for
// token what the engine answers alone.
func TestAnswersAsTheEngine(t *testing.T) {
	model := hubtest.Model(t)
	e, err := flashback.Open(flashback.Options{Model: model, KVBudget: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	x := newIndex(t, model)
	a, err := e.LoadAdapterFS(adapters.Answers(), adapters.AnswersName)
	if err != nil {
		t.Fatal(err)
	}
	const system = "Answer the question in one or two sentences, with what the passages say."
	s, url := listen(t, e, func(o *Options) {
		o.Library, o.System, o.Answers = x, system, &Adapter{Name: "answers", Loaded: a, Info: a.Info()}
	})
	const question, first = "Where does the spare key of the north tower hang?", "How deep is the harbour?"
	alone := func(r flashback.Request, history ...flashback.Message) string {
		r.Retriever, r.Salt, r.MaxTokens = x, "alone", 24
		c := e.NewChat("")
		defer c.Close()
		c.SetMessages(append([]flashback.Message{{Role: "system", Content: system}}, history...))
		var trace flashback.Trace
		for event, err := range c.Ask(t.Context(), question, r) {
			if err != nil {
				t.Fatal(err)
			}
			trace.Add(event)
		}
		return trace.Text()
	}
	own := flashback.AnswerDefaults().Trained(a.Info())
	own.Adapter = a
	want := map[string]string{"": alone(own)}
	for _, placement := range append(flashback.Placements(), "in-turn") {
		r := flashback.AnswerDefaults()
		if r.Placement = placement; placement == a.Info().Placement {
			r = own
		}
		want[placement] = alone(r, flashback.Message{Role: "user", Content: first}, flashback.Message{Role: "assistant", Content: "Twelve metres."})
	}
	var asking sync.WaitGroup
	for placement, want := range want {
		history := ""
		if placement != "" {
			history = `{"role": "user", "content": "` + first + `"}, {"role": "assistant", "content": "Twelve metres."}, `
		}
		body := `{"model": "tiny@notes", "max_tokens": 24, "flashback": {"placement": "` + placement + `"}, "messages": [` + history + `{"role": "user", "content": "` + question + `"}]`
		asking.Go(func() {
			got := askChat(t, url, "", body+"}").Choices[0].Message
			if got.Content != want {
				t.Errorf("placement %q: %q, alone %q", placement, got.Content, want)
			}
			for _, a := range got.Annotations {
				if c := a.Citation; c.StartIndex < 0 || c.StartIndex >= c.EndIndex || c.EndIndex > len([]rune(got.Content)) {
					t.Errorf("placement %q: citation %+v of %d characters", placement, c, len([]rune(got.Content)))
				}
			}
			if len(got.Annotations) == 0 && placement != "none" {
				t.Errorf("placement %q: no annotations", placement)
			}
		})
		asking.Go(func() {
			if got := streamed(t, url, body+`, "stream": true}`); got != want {
				t.Errorf("placement %q: streamed %q, alone %q", placement, got, want)
			}
		})
	}
	asking.Wait()
	if !strings.Contains(want[""], "kitchen") {
		t.Errorf("the answer is %q", want[""])
	}
	idle(t, s, e)
	if e.DropKept(); e.KV().Pages != 0 {
		t.Errorf("%d pages are in use when all that is kept was given up", e.KV().Pages)
	}
}

// streamed returns the text of a stream.
func streamed(t *testing.T, url, body string) string {
	resp, err := http.Post(url+"/v1/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	var text strings.Builder
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	done := false
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if done = done || data == "[DONE]"; !ok || done {
			continue
		}
		var c struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			t.Errorf("%v: %s", err, data)
		}
		for _, choice := range c.Choices {
			text.WriteString(choice.Delta.Content)
		}
	}
	if !done {
		t.Errorf("the stream of %s ends without [DONE]", body)
	}
	return text.String()
}

// No key finds what another's texts have left, unless they are shared.
func TestKeysAreApart(t *testing.T) {
	keys, err := ReadKeys(strings.NewReader("a secret-of-the-first\nb secret-of-the-second\n"))
	if err != nil {
		t.Fatal(err)
	}
	body := `{"model": "tiny", "max_tokens": 2, "messages": [{"role": "user", "content": "` + strings.Repeat("the tower is tall ", 20) + `"}]}`
	for _, share := range []bool{false, true} {
		_, url := listen(t, tiny(t, 0), func(o *Options) { o.Keys, o.SharePrompts = keys, share })
		cached := func(key string) int { return askChat(t, url, key, body).Usage.Details.Cached }
		if n := cached("secret-of-the-first"); n != 0 {
			t.Errorf("%d tokens are cached before anything was asked", n)
		}
		own, other := cached("secret-of-the-first"), cached("secret-of-the-second")
		apart := askChat(t, url, "secret-of-the-first", strings.Replace(body, "{", `{"cache_salt": "apart", `, 1)).Usage.Details.Cached
		if apart != 0 {
			t.Errorf("shared %v: a request with a salt of its own finds %d tokens", share, apart)
		}
		if own == 0 || share != (other != 0) {
			t.Errorf("shared %v: a key finds %d tokens of its own, another %d of them", share, own, other)
		}
	}
}
