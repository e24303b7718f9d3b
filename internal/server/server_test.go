package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback"
)

const hello = `"messages": [{"role": "user", "content": "Hello"}]`

// Whatever is wrong with a request is told by status, field and code as OpenAI does.
func TestErrors(t *testing.T) {
	s := serve(t, &fake{text: "yes"})
	long := strings.Repeat("x", 2000)
	for _, c := range []struct {
		path, body  string
		status      int
		param, code string
	}{
		{"chat/completions", ``, 400, "", "invalid_value"},
		{"chat/completions", `[]`, 400, "", "invalid_value"},
		{"chat/completions", `null`, 400, "", "invalid_value"},
		{"chat/completions", `{"model": "tiny", ` + hello + `} {`, 400, "", "invalid_value"},
		{"chat/completions", `{"model": 1, ` + hello + `}`, 400, "model", "invalid_value"},
		{"chat/completions", `{` + hello + `}`, 404, "model", "model_not_found"},
		{"chat/completions", `{"model": "other", ` + hello + `}`, 404, "model", "model_not_found"},
		{"chat/completions", `{"model": "tiny@absent", ` + hello + `}`, 404, "model", "model_not_found"},
		{"chat/completions", `{"model": "tiny@", ` + hello + `}`, 404, "model", "model_not_found"},
		{"chat/completions", `{"model": "tiny+absent", ` + hello + `}`, 404, "model", "model_not_found"},
		{"chat/completions", `{"model": "tiny@notes+terse", ` + hello + `}`, 404, "model", "model_not_found"},
		{"chat/completions", `{"model": "tiny"}`, 400, "messages", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "messages": [{"role": "user", "content": ""}]}`, 400, "messages", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "messages": [{"role": "assistant", "content": "x"}]}`, 400, "messages", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "messages": [{"role": "king", "content": "x"}]}`, 400, "messages", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "messages": [{"role": "tool", "content": "x"}]}`, 400, "messages", "unsupported_parameter"},
		{"chat/completions", `{"model": "tiny", "messages": [{"role": "user", "content": 7}]}`, 400, "messages", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}`, 400, "messages", "unsupported_parameter"},
		{"chat/completions", `{"model": "tiny", "messages": [{"role": "user", "content": "refused by the template"}]}`, 400, "messages", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "messages": [{"role": "user", "content": "` + long + `"}]}`, 400, "messages", "context_length_exceeded"},
		{"chat/completions", `{"model": "tiny", "max_tokens": 890, ` + hello + `}`, 400, "messages", "context_length_exceeded"},
		{"chat/completions", `{"model": "tiny", "tools": [{"type": "function"}], ` + hello + `}`, 400, "tools", "unsupported_parameter"},
		{"chat/completions", `{"model": "tiny", "response_format": {"type": "json_object"}, ` + hello + `}`, 400, "response_format", "unsupported_parameter"},
		{"chat/completions", `{"model": "tiny", "max_tokens": 0, ` + hello + `}`, 400, "max_tokens", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "max_tokens": "many", ` + hello + `}`, 400, "max_tokens", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "temperature": -1, ` + hello + `}`, 400, "temperature", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "n": 9, ` + hello + `}`, 400, "n", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "top_logprobs": 21, "logprobs": true, ` + hello + `}`, 400, "top_logprobs", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "top_logprobs": 2, ` + hello + `}`, 400, "top_logprobs", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "logit_bias": {"x": 1}, ` + hello + `}`, 400, "logit_bias", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "logit_bias": {"1": 101}, ` + hello + `}`, 400, "logit_bias", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "cache_salt": "` + long + `", ` + hello + `}`, 400, "cache_salt", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "stop": [1], ` + hello + `}`, 400, "stop", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "stop": [` + strings.Repeat(`"x",`, 16) + `"x"], ` + hello + `}`, 400, "stop", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "flashback": {"kk": 1}, ` + hello + `}`, 400, "flashback", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "flashback": {"k": "1"}, ` + hello + `}`, 400, "flashback.k", "invalid_value"},
		{"chat/completions", `{"model": "tiny@notes", "flashback": {"k": 17}, ` + hello + `}`, 400, "flashback.k", "invalid_value"},
		{"chat/completions", `{"model": "tiny@notes", "flashback": {"stride": 1025}, ` + hello + `}`, 400, "flashback.stride", "invalid_value"},
		{"chat/completions", `{"model": "tiny@notes", "flashback": {"echo": "twice"}, ` + hello + `}`, 400, "flashback", "invalid_value"},
		{"chat/completions", `{"model": "tiny@notes", "flashback": {"placement": "behind"}, ` + hello + `}`, 400, "", "invalid_value"},
		{"chat/completions", `{"model": "tiny@notes", "flashback": {"cite": "loudly"}, ` + hello + `}`, 400, "flashback.cite", "invalid_value"},
		{"chat/completions", `{"model": "tiny@notes", "flashback": {"indexes": ["law"]}, ` + hello + `}`, 400, "flashback.indexes", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "flashback": {"indexes": ["law", "law"]}, ` + hello + `}`, 400, "flashback.indexes", "invalid_value"},
		{"chat/completions", `{"model": "tiny", "flashback": {"indexes": ["absent"]}, ` + hello + `}`, 404, "flashback.indexes", "index_not_found"},
		{"chat/completions", `{"model": "tiny", "flashback": {"placement": "virtual"}, ` + hello + `}`, 400, "flashback.placement", "invalid_value"},
		{"completions", `{"model": "tiny"}`, 400, "prompt", "invalid_value"},
		{"completions", `{"model": "tiny", "prompt": ["a", "b"]}`, 400, "prompt", "unsupported_parameter"},
		{"completions", `{"model": "tiny", "prompt": {}}`, 400, "prompt", "invalid_value"},
		{"completions", `{"model": "tiny", "prompt": "a", "suffix": "b"}`, 400, "suffix", "unsupported_parameter"},
		{"completions", `{"model": "tiny@notes", "prompt": "a", "flashback": {"placement": "in-turn"}}`, 400, "", "invalid_value"},
		{"responses", `{"model": "tiny"}`, 400, "input", "invalid_value"},
		{"responses", `{"model": "tiny", "input": ""}`, 400, "input", "invalid_value"},
		{"responses", `{"model": "tiny", "input": 7}`, 400, "input", "invalid_value"},
		{"responses", `{"model": "tiny", "input": [{"type": "function_call_output"}]}`, 400, "input", "unsupported_parameter"},
		{"responses", `{"model": "tiny", "input": [{"role": "user", "content": [{"type": "input_image"}]}]}`, 400, "input", "unsupported_parameter"},
		{"responses", `{"model": "tiny", "input": [{"role": "assistant", "content": "x"}]}`, 400, "input", "invalid_value"},
		{"responses", `{"model": "tiny", "input": "` + long + `"}`, 400, "input", "context_length_exceeded"},
		{"responses", `{"model": "tiny", "input": "x", "max_output_tokens": 0}`, 400, "max_output_tokens", "invalid_value"},
		{"responses", `{"model": "tiny", "input": "x", "store": true}`, 400, "store", "unsupported_parameter"},
		{"responses", `{"model": "tiny", "input": "x", "previous_response_id": "resp_1"}`, 400, "previous_response_id", "unsupported_parameter"},
		{"responses", `{"model": "tiny", "input": "x", "text": {"format": {"type": "json_object"}}}`, 400, "text", "unsupported_parameter"},
		{"responses", `{"model": "tiny", "input": "x", "n": 2}`, 400, "n", "unsupported_parameter"},
		{"responses", `{"model": "tiny", "input": "x", "include": ["everything"]}`, 400, "include", "invalid_value"},
		{"responses", `{"model": "tiny", "input": "x", "tools": [{"type": "web_search"}]}`, 400, "tools", "unsupported_parameter"},
		{"responses", `{"model": "tiny", "input": "x", "tools": [{"type": "file_search"}]}`, 400, "tools", "invalid_value"},
		{"responses", `{"model": "tiny", "input": "x", "tools": [{"type": "file_search", "vector_store_ids": ["absent"]}]}`, 404, "tools", "index_not_found"},
		{"responses", `{"model": "tiny@law", "input": "x", "tools": [{"type": "file_search", "vector_store_ids": ["notes"]}]}`, 400, "tools", "invalid_value"},
		{"responses", `{"model": "tiny", "input": "x", "tools": [{"type": "file_search", "vector_store_ids": ["notes"], "max_num_results": 51}]}`, 400, "tools.max_num_results", "invalid_value"},
		{"responses", `{"model": "tiny", "input": "x", "tools": [{"type": "file_search", "vector_store_ids": ["notes"], "filters": {"type": "eq"}}]}`, 400, "tools", "unsupported_parameter"},
		{"responses", `{"model": "tiny", "input": "x", "tools": [{"type": "file_search", "vector_store_ids": ["notes"], "ranking_options": {"score_threshold": 0.5}}]}`, 400, "tools", "unsupported_parameter"},
		{"responses", `{"model": "tiny", "input": "x", "tool_choice": {"type": "function"}}`, 400, "tool_choice", "unsupported_parameter"},
		{"responses", `{"model": "tiny@notes", "input": "x", "flashback": {"openwebui": true}}`, 400, "flashback.openwebui", "invalid_value"},
		{"embeddings", `{"model": "tiny", "input": "a"}`, 400, "", "unsupported"},
		{"nothing", `{}`, 404, "", "not_found"},
		{"models", `{}`, 405, "", "method_not_allowed"},
	} {
		w := post(s, "/v1/"+c.path, c.body)
		var got struct {
			Error struct {
				Message, Type string
				Param, Code   *string
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Errorf("%s: %s: %q is no error in JSON", c.path, c.body, w.Body)
			continue
		}
		text := func(s *string) string {
			if s == nil {
				return ""
			}
			return *s
		}
		e := got.Error
		if w.Code != c.status || text(e.Param) != c.param || text(e.Code) != c.code || e.Message == "" || e.Type == "" {
			t.Errorf("%s: %.120s\n\tgives %d %s, want %d, param %q, code %q", c.path, c.body, w.Code, w.Body, c.status, c.param, c.code)
		}
	}
}

// A stream is a role, text, the annotations of each stride, an end and the usage.
func TestStream(t *testing.T) {
	lib := &shelf{}
	m := &fake{text: "it is ünder"}
	s := serve(t, m, func(o *Options) { o.Library = lib })
	w := post(s, "/v1/chat/completions", `{"model": "tiny@notes", "stream": true, "stream_options": {"include_usage": true}, `+hello+`}`)
	var got strings.Builder
	for _, event := range strings.Split(strings.TrimSuffix(w.Body.String(), "\n\n"), "\n\n") {
		data, ok := strings.CutPrefix(event, "data: ")
		if !ok || strings.Contains(data, "\n") {
			t.Fatalf("no event: %q", event)
		}
		if data == "[DONE]" {
			got.WriteString("done\n")
			continue
		}
		var c struct {
			Object  string
			Choices []struct {
				Delta struct {
					Role, Content string
					Annotations   []annotation
				}
				Finish *string `json:"finish_reason"`
			}
			Flashback extra
			Usage     *usage
		}
		if err := json.Unmarshal([]byte(data), &c); err != nil || c.Object != "chat.completion.chunk" {
			t.Fatalf("%v: %s", err, data)
		}
		for _, choice := range c.Choices {
			d := choice.Delta
			if d.Role != "" {
				fmt.Fprintln(&got, "role", d.Role)
			}
			if d.Content != "" {
				fmt.Fprintf(&got, "content %q\n", d.Content)
			}
			for _, a := range d.Annotations {
				fmt.Fprintf(&got, "annotation %d %s %d-%d %s %s\n", a.Index, a.Type, a.Citation.StartIndex, a.Citation.EndIndex, a.Citation.Title, a.Citation.URL)
			}
			if choice.Finish != nil {
				fmt.Fprintln(&got, "finish", *choice.Finish)
			}
		}
		if s := c.Flashback.Stride; s != nil {
			fmt.Fprintf(&got, "stride %d %s %d-%d %d passages\n", s.Index, s.Placement, s.Start, s.End, len(s.Passages))
		}
		if u := c.Usage; u != nil {
			fmt.Fprintf(&got, "usage %d+%d=%d, %d cached\n", u.Prompt, u.Completion, u.Total, u.Details.Cached)
		}
	}
	var want strings.Builder
	want.WriteString("role assistant\n")
	for i, r := range []rune(m.text) {
		fmt.Fprintf(&want, "content %q\n", string(r))
		if n := i + 1; n%4 == 0 || n == 11 {
			from, at := i/4*4, i/4*2
			fmt.Fprintf(&want, "annotation %d url_citation %d-%d Keys http://localhost:8080/v1/vector_stores/notes/passages/psg_a\n", at, from, n)
			fmt.Fprintf(&want, "annotation %d url_citation %d-%d b#2 http://localhost:8080/v1/vector_stores/notes/passages/psg_b\n", at+1, from, n)
			fmt.Fprintf(&want, "stride %d virtual %d-%d 2 passages\n", i/4, from, n)
		}
	}
	want.WriteString("finish stop\nusage 11+11=22, 4 cached\ndone\n")
	if got.String() != want.String() {
		t.Errorf("the stream says\n%s\nwant\n%s", got.String(), want.String())
	}
	for name, value := range map[string]string{"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"} {
		if got := w.Header().Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if lib.held != 0 || m.closed != 1 {
		t.Errorf("%d indexes are held, %d chats closed", lib.held, m.closed)
	}
}

// What fails in the middle of a stream is an event, and what fails before is an answer.
func TestStreamFails(t *testing.T) {
	body := `{"model": "tiny", "stream": true, ` + hello + `}`
	w := post(serve(t, &fake{text: "it", err: flashback.ErrFull}), "/v1/chat/completions", body)
	if got := w.Body.String(); w.Code != 200 || !strings.Contains(got, `data: {"error":{`) || !strings.Contains(got, "kv_full") || strings.Contains(got, "[DONE]") {
		t.Errorf("%d %s", w.Code, got)
	}
	w = post(serve(t, &fake{err: flashback.ErrFull}), "/v1/chat/completions", body)
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

// Who does not say how much is to be written gets up to --tokens, or as much as the model
// has room for.
func TestTokensByDefault(t *testing.T) {
	for limit, want := range map[int]int{0: 900 - 11, 50: 50} { // the fake has room for 900, and makes 11 of the prompt
		m := &fake{text: "it"}
		if w := post(serve(t, m, func(o *Options) { o.MaxTokens = limit }), "/v1/chat/completions", `{"model": "tiny", `+hello+`}`); w.Code != 200 || m.request.MaxTokens != want {
			t.Errorf("--tokens %d: up to %d are written, want %d: %s", limit, m.request.MaxTokens, want, w.Body)
		}
	}
}

// What fails unexpectedly is told to the log only: it may name files.
func TestInternalErrors(t *testing.T) {
	for _, body := range []string{`{"model": "tiny", ` + hello + `}`, `{"model": "tiny", "stream": true, ` + hello + `}`} {
		s, log := logged(t, &fake{text: "it", err: errors.New("open /var/model: no such file")})
		w := post(s, "/v1/chat/completions", body)
		if got := w.Body.String(); strings.Contains(got, "/var/model") || !strings.Contains(got, "internal_error") || !strings.Contains(log.String(), "/var/model") || w.Header().Get("X-Request-Id") == "" {
			t.Errorf("%d %s, and the log says %s", w.Code, got, log)
		}
	}
}

// Passages that cannot be looked up fail a request, unless it goes on without.
func TestRetrievalFails(t *testing.T) {
	s, log := logged(t, &fake{text: "it"}, func(o *Options) { o.Library = &shelf{err: fmt.Errorf("/var/notes: a disk is broken")} })
	if w := post(s, "/v1/chat/completions", `{"model": "tiny@notes", `+hello+`}`); w.Code != 502 || strings.Contains(w.Body.String(), "/var/notes") || !strings.Contains(log.String(), "/var/notes") {
		t.Errorf("%d %s, and the log says %s", w.Code, w.Body, log)
	}
	if w := post(s, "/v1/chat/completions", `{"model": "tiny@notes", "flashback": {"on_retrieval_error": "continue"}, `+hello+`}`); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Without keys only this machine is answered, and no page of another origin.
func TestOrigins(t *testing.T) {
	s := serve(t, &fake{text: "it"})
	for host, want := range map[string]int{"localhost:8080": 200, "127.0.0.1": 200, "[::1]:80": 200, "evil.example": 403, "localhost.evil.example": 403} {
		r := httptest.NewRequest("GET", "/v1/models", nil)
		r.Host = host
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("host %s: %d, want %d", host, w.Code, want)
		}
	}
	r := httptest.NewRequest("POST", "http://localhost:8080/v1/chat/completions", strings.NewReader(`{"model": "tiny", `+hello+`}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", "https://evil.example")
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != http.StatusForbidden {
		t.Errorf("another origin: %d %s", w.Code, w.Body)
	}
}
