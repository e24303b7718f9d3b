package flashback

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

// serveLike has an engine of this machine answer as llama.cpp's server does.
func serveLike(t *testing.T, e *Engine) string {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Prompt  []int32 `json:"prompt"`
			N       int     `json:"n_predict"`
			Content string  `json:"content"`
			Ignore  bool    `json:"ignore_eos"`
		}
		json.NewDecoder(r.Body).Decode(&body)
		reply := func(v any) { json.NewEncoder(w).Encode(v) }
		switch r.URL.Path {
		case "/props":
			reply(map[string]any{"total_slots": 1, "default_generation_settings": map[string]any{"n_ctx": e.Info().Context}})
		case "/v1/models":
			reply(map[string]any{"data": []any{map[string]any{"id": "tiny", "meta": map[string]any{"n_vocab": e.Info().Vocab}}}})
		case "/tokenize":
			reply(map[string]any{"tokens": e.Tokens(body.Content, false)})
		case "/completion":
			n := 0
			for event, err := range e.Stream(r.Context(), Request{Tokens: body.Prompt, Placement: "none", MaxTokens: body.N, IgnoreEOS: body.Ignore}) {
				if err != nil {
					fmt.Fprintf(w, "data: {\"error\":{\"message\":%q}}\n\n", err)
					return
				}
				switch event := event.(type) {
				case Token:
					n++
					fmt.Fprintf(w, "data: {\"tokens\":[%d],\"tokens_predicted\":%d}\n\n", event.ID, n)
				case Finish:
					cached := event.Counts.PromptReused
					fmt.Fprintf(w, "data: {\"tokens\":[],\"stop\":true,\"tokens_predicted\":%d,\"timings\":{\"cache_n\":%d,\"prompt_n\":%d}}\n\n", n, cached, len(body.Prompt)-cached)
				}
			}
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(h.Close)
	return h.URL
}

// TestBehindHTTP writes through a server that runs the same model: texts and answers are
// those of this machine's engine, token for token.
func TestBehindHTTP(t *testing.T) {
	own := tinyChat(t, &changing{passages: fixed{{ID: "a", Text: "the tower is tall"}, {ID: "b", Text: "the harbour is wide"}, {ID: "c", Text: "the keys hang behind the door"}}})
	e, err := Open(Options{Model: own.Info().Model, Retriever: &changing{passages: own.retriever.(*changing).passages}, Engine: EngineOptions{Kind: "llamacpp", URL: serveLike(t, own)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	if info := e.Info(); info.Engine == "" || info.Context != own.Info().Context || info.Vocab != own.Info().Vocab {
		t.Errorf("the engine is %+v", info)
	}
	stream := func(e *Engine, r Request) (tokens []int32) {
		e.retriever.(*changing).n.Store(0)
		for event, err := range e.Stream(t.Context(), r) {
			if err != nil {
				t.Fatalf("%s: %v", r.Placement, err)
			}
			if token, ok := event.(Token); ok {
				tokens = append(tokens, token.ID)
			}
		}
		return tokens
	}
	echo := 3
	for _, r := range []Request{{Placement: "none"}, {Placement: "append"}, {Placement: "append", Echo: &echo}, {Placement: "prepend"}, {}} {
		r.Prompt, r.MaxTokens, r.Stride, r.IgnoreEOS = "The keys hang", 20, 6, true
		got := stream(e, r)
		if r.Placement == "" {
			r.Placement = EnginePlacement
		}
		if want := stream(own, r); !slices.Equal(got, want) {
			t.Errorf("%s: wrote %v, this machine %v", r.Placement, got, want)
		}
	}
	ask := func(e *Engine) (answers []string) {
		e.retriever.(*changing).n.Store(0)
		chat := e.NewChat("Be brief.")
		defer chat.Close()
		r := AnswerDefaults()
		r.Placement, r.MaxTokens, r.Stride, r.IgnoreEOS, r.Sampling.RepeatPenalty = "prepend", 20, 4, true, 1
		for _, question := range []string{"Where do the keys hang?", "And how wide is the harbour?"} {
			for _, err := range chat.Ask(t.Context(), question, r) {
				if err != nil {
					t.Fatal(err)
				}
			}
			answers = append(answers, chat.Messages()[len(chat.Messages())-1].Content)
		}
		if _, err := chat.Provenance(t.Context()); (e.engine == nil) != errors.Is(err, ErrUnsupported) {
			t.Errorf("what the answer was from: %v", err)
		}
		return answers
	}
	if got, want := ask(e), ask(own); !slices.Equal(got, want) {
		t.Errorf("answered %q, this machine %q", got, want)
	}
}

// TestBehindHTTPRefuses asks for what a server that shows no logits cannot do.
func TestBehindHTTPRefuses(t *testing.T) {
	own := tinyChat(t, fixed{{ID: "a", Text: "the tower is tall"}, {ID: "b", Text: "the harbour is wide"}})
	e, err := Open(Options{Model: own.Info().Model, Retriever: own.retriever, Engine: EngineOptions{Kind: "llamacpp", URL: serveLike(t, own)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	for name, r := range map[string]Request{
		"virtual":       {Placement: "virtual"},
		"branches":      {Placement: "append", Passages: 2},
		"verification":  {Placement: "append", Verify: &Verify{}},
		"probabilities": {Placement: "append", Logprobs: true},
		"penalties":     {Placement: "append", Sampling: Sampling{FrequencyPenalty: 1}},
	} {
		r.Prompt = "The keys hang"
		if _, err := e.Plan(r, false); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: planned with error %v", name, err)
		}
		for _, err := range e.Stream(t.Context(), r) {
			if !errors.Is(err, ErrUnsupported) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := e.LoadAdapter("nowhere"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("an adapter is loaded with error %v", err)
	}
	if err := e.Score(t.Context(), Request{Prompt: "some text"}, nil); !errors.Is(err, ErrUnsupported) {
		t.Errorf("probabilities are told with error %v", err)
	}
}
