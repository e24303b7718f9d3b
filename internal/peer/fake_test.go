package peer_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/flashback-lm/flashback/internal/peer"
)

// bytes is a tokenizer whose tokens are bytes, 0 the one that ends a text.
type bytes struct{}

func (bytes) Encode(text string) []int32 {
	var tokens []int32
	for _, b := range []byte(text) {
		tokens = append(tokens, int32(b))
	}
	return tokens
}

func (bytes) Lead() []int32 { return nil }
func (bytes) Size() int     { return 256 }

// server is a fake of each kind. Its model writes the token that is one greater than the
// last of the prompt, so that what it was sent can be told from what it writes.
type server struct {
	kind string
	// Faults.
	status      int    // instead of 200, of what continues a prompt
	inStream    string // sent in the middle of a stream, which then ends
	hang        bool   // after the first token
	breakOff    bool   // after the first token
	lie         int    // added to what is told to be cached
	strange     int32  // a token that it writes second
	incremental bool   // sglang: events have the new tokens alone
	half        int    // llamacpp: which token of a stream its ids leave out; 0: none
	endless     bool   // it writes more than was asked for
	noDetails   bool   // vllm: it does not tell what was cached
	ends        int32  // the token that ends a text; 0: none
	silentEnd   bool   // sglang: that token is in finish_reason alone

	mu     sync.Mutex
	bodies []map[string]any
	last   []int32 // what its cache holds
	closed chan struct{}
}

func (s *server) start(t *testing.T) string {
	t.Helper()
	s.closed = make(chan struct{})
	h := httptest.NewServer(s)
	t.Cleanup(func() { close(s.closed); h.Close() })
	return h.URL
}

func (s *server) dial(t *testing.T) *peer.Engine {
	t.Helper()
	e, err := peer.Dial(t.Context(), peer.Options{Kind: s.kind, URL: s.start(t)}, bytes{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// asked returns the bodies of what was asked since the engine was tried.
func (s *server) asked() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bodies[1:])
}

func ids(v any) []int32 {
	var tokens []int32
	for _, t := range v.([]any) {
		tokens = append(tokens, int32(t.(float64)))
	}
	return tokens
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body map[string]any
	json.NewDecoder(r.Body).Decode(&body)
	reply := func(v any) { json.NewEncoder(w).Encode(v) }
	switch r.URL.Path {
	case "/props":
		reply(map[string]any{"total_slots": 2, "default_generation_settings": map[string]any{"n_ctx": 512}})
	case "/v1/models":
		reply(map[string]any{"data": []any{map[string]any{"id": "tiny", "max_model_len": 512, "meta": map[string]any{"n_vocab": 256}}}})
	case "/tokenize":
		text, _ := body["content"].(string)
		if s.kind == "vllm" {
			text = body["prompt"].(string)
		}
		reply(map[string]any{"tokens": bytes{}.Encode(text)})
	case "/completion", "/v1/completions", "/generate":
		s.mu.Lock()
		s.bodies = append(s.bodies, body)
		trying := len(s.bodies) == 1
		s.mu.Unlock()
		s.write(w, r, body, trying)
	default:
		http.NotFound(w, r)
	}
}

// write continues a prompt.
func (s *server) write(w http.ResponseWriter, r *http.Request, body map[string]any, trying bool) {
	var prompt []int32
	var n int
	switch s.kind {
	case "llamacpp":
		prompt, n = ids(body["prompt"]), int(body["n_predict"].(float64))
	case "vllm":
		prompt, n = ids(body["prompt"]), int(body["max_tokens"].(float64))
	case "sglang":
		prompt, n = ids(body["input_ids"]), int(body["sampling_params"].(map[string]any)["max_new_tokens"].(float64))
	}
	if s.status != 0 && !trying {
		w.WriteHeader(s.status)
		fmt.Fprint(w, `{"error":{"message":"out of memory"}}`)
		return
	}
	s.mu.Lock()
	cached := 0
	for cached < min(len(prompt)-1, len(s.last)) && prompt[cached] == s.last[cached] {
		cached++
	}
	s.mu.Unlock()
	told := cached + s.lie
	var written []int32
	emit := func(format string, args ...any) {
		fmt.Fprintf(w, "data: "+format+"\n\n", args...)
		w.(http.Flusher).Flush()
	}
	list := func(tokens []int32) string { b, _ := json.Marshal(tokens); return string(b) }
	stream, _ := body["stream"].(bool)
	for i := range n {
		token := (append(slices.Clone(prompt), written...)[len(prompt)+i-1] + 1) % 256
		if s.strange != 0 && i == 1 && !trying {
			token = s.strange
		}
		written = append(written, token)
		ended := s.ends != 0 && token == s.ends
		switch {
		case s.kind == "llamacpp" && stream && !(s.half == i+1 && !trying):
			emit(`{"content":"x","tokens":[%d],"stop":false,"id_slot":1,"tokens_predicted":%d,"timings":{"cache_n":%d,"prompt_n":%d}}`, token, i+1, told, len(prompt)-told)
		case s.kind == "vllm":
			emit(`{"choices":[{"text":"x","token_ids":[%d],"finish_reason":null}]}`, token)
			if s.endless && !trying {
				emit(`{"choices":[{"text":"x","token_ids":[%s]}]}`, strings.Trim(strings.Repeat("1,", n+1), ","))
			}
		case s.kind == "sglang":
			shown := written
			if s.silentEnd && ended {
				shown = shown[:i]
			}
			out := list(shown)
			if s.incremental {
				out = list(shown[min(i, len(shown)):])
			}
			finish := "null"
			if ended {
				finish = fmt.Sprintf(`{"type":"stop","matched":%d}`, token)
			}
			emit(`{"text":"x","output_ids":%s,"meta_info":{"prompt_tokens":%d,"completion_tokens":%d,"cached_tokens":%d,"finish_reason":%s}}`, out, len(prompt), len(shown), told, finish)
		}
		if !trying && i == 0 {
			switch {
			case s.inStream != "":
				emit("%s", s.inStream)
				return
			case s.hang:
				select {
				case <-r.Context().Done():
				case <-s.closed:
				}
				return
			case s.breakOff:
				panic(http.ErrAbortHandler)
			}
		}
		if ended {
			break
		}
	}
	s.mu.Lock()
	s.last = append(slices.Clone(prompt), written...)
	s.last = s.last[:len(s.last)-1]
	s.mu.Unlock()
	switch {
	case s.kind == "llamacpp" && stream:
		emit(`{"tokens":[],"stop":true,"id_slot":1,"tokens_predicted":%d,"timings":{"cache_n":%d,"prompt_n":%d}}`, len(written), told, len(prompt)-told)
	case s.kind == "llamacpp":
		fmt.Fprintf(w, `{"tokens":%s,"stop":true,"id_slot":1,"tokens_predicted":%d,"timings":{"cache_n":%d,"prompt_n":%d}}`, list(written), len(written), told, len(prompt)-told)
	case s.kind == "vllm":
		details := fmt.Sprintf(`{"cached_tokens":%d}`, told)
		if s.noDetails {
			details = "null"
		}
		emit(`{"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"prompt_tokens_details":%s}}`, len(prompt), len(written), details)
		emit("[DONE]")
	case s.kind == "sglang":
		emit("[DONE]")
	}
}

// with returns a copy of the fields of a body.
func with(body map[string]any, names ...string) map[string]any {
	found := maps.Clone(body)
	maps.DeleteFunc(found, func(name string, _ any) bool { return !slices.Contains(names, name) })
	return found
}
