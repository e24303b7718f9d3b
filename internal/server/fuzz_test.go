package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzBodies sends bodies to all endpoints that read one: each is answered or refused, in
// JSON or events, and none is the server's fault.
func FuzzBodies(f *testing.F) {
	for _, body := range []string{
		`{"model": "tiny@notes", "stream": true, "stream_options": {"include_usage": true}, ` + hello + `}`,
		`{"model": "tiny+terse", "n": 3, "seed": -1, "logprobs": true, "top_logprobs": 2, "stop": ["a", ""], "max_completion_tokens": 3, ` + hello + `}`,
		`{"model": "tiny", "messages": [{"role": "developer", "content": [{"type": "text", "text": "a"}]}, {"role": "user", "content": "b", "tool_calls": null}], "tools": null}`,
		`{"model": "tiny", "flashback": {"indexes": ["law", "notes"], "layout": "in-turn", "k": 3, "stride": 2, "query_len": 1, "passage_len": 9, "context_budget": 9, "mix_factor": 1e9, "look_ahead": 4}, ` + hello + `}`,
		`{"model": "tiny@law", "flashback": {"echo": "turn", "exclude": {"ids": ["a"], "titles": [], "sources": null}, "cite": "footer", "openwebui": true, "influence": true, "trace": true, "on_retrieval_error": "continue"}, ` + hello + `}`,
		`{"model": "tiny", "prompt": "abc", "echo": true, "logprobs": 2, "max_tokens": 0, "logit_bias": {"5": -100}, "top_p": 0, "top_k": -1}`,
		`{"model": "tiny", "prompt": [1, 2, 300], "best_of": 1, "suffix": null}`,
		`{"model": "tiny", "prompt": [[1, 2]], "frequency_penalty": 2, "presence_penalty": -2, "repetition_penalty": 1.1, "min_p": 0.1}`,
		`{"model": "tiny", "input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}], "tools": [{"type": "file_search", "vector_store_ids": ["law"]}], "include": ["file_search_call.results"]}`,
		`{"model": "tiny:latest", "prompt": "a", "raw": true, "options": {"num_predict": 2, "stop": "x", "mirostat": 0}}`,
		`{"model": "tiny@law", "stream": false, "options": {"repeat_last_n": 0, "num_predict": -2}, ` + hello + `}`,
		`{"model": "tiny@notes", "flashback": {"k": 2}, ` + hello + `, "trace": {"strides": [{"stride": 0, "context": 10, "passages": [{"id": "a", "text": "b", "score": 1, "in_turn": true}], "tokens": [65, -1]}, {}], "finish": null}}`,
		`{"content": "a <|im_start|>", "parse_special": true, "tokens": [1, -1, 70000, 2147483647], "special": true}`,
		`{"tokens": [9223372036854775808]}`, `{"model": "tiny\u0000", "prompt": "\ud800"}`, "\xff\xfe{}", `{"a":` + strings.Repeat("[", 20000),
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := New(Options{Model: &fake{text: "it is"}, Name: "tiny", Library: &shelf{}, Adapters: []Adapter{{Name: "terse"}}, Ollama: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/influence", "/api/chat", "/api/generate", "/api/show", "/v1/embeddings", "/tokenize", "/detokenize", "/apply-template"} {
			w := post(s, path, string(body))
			if w.Code >= 500 || w.Code < 200 {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream") && w.Header().Get("Content-Type") != "application/x-ndjson" && !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s: no JSON: %s", path, w.Body)
			}
		}
		if free := s.admission.free; free != s.admission.limit {
			t.Errorf("%d of %d tokens are free", free, s.admission.limit)
		}
	})
}

// FuzzPaths asks for whatever path and method: none is the server's fault.
func FuzzPaths(f *testing.F) {
	f.Add("GET", "/v1/models/tiny@notes", "Bearer x")
	f.Add("DELETE", "//v1//models/../chat", "")
	f.Add("OPTIONS", "/v1/chat/completions", "Basic")
	s, err := New(Options{Model: &fake{text: "it is"}, Name: "tiny", Library: &shelf{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, path, key string) {
		r, err := http.NewRequest(method, "http://localhost/", nil)
		if err != nil {
			return
		}
		r.URL.Path, r.Host = path, "localhost"
		r.Header.Set("Authorization", key)
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code >= 500 {
			t.Errorf("%s %q: %d %s", method, path, w.Code, w.Body)
		}
	})
}
