package server

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/library"
)

// mutator makes bodies of requests that have something wrong in them, the same ones each
// time.
type mutator struct {
	r     *rand.Rand
	seeds []seed
}

type seed struct{ path, body string }

func newMutator() *mutator {
	return &mutator{rand.New(rand.NewPCG(1, 2)), []seed{
		{"/v1/chat/completions", `{"model": "tiny@notes", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Where?"}]}],
			"max_completion_tokens": 5, "temperature": 0.5, "top_p": 0.9, "top_k": 4, "min_p": 0.1, "repetition_penalty": 1.1, "frequency_penalty": 0.5, "presence_penalty": -0.5,
			"logit_bias": {"65": 5}, "seed": 7, "stop": ["\n", "x"], "n": 2, "logprobs": true, "top_logprobs": 3, "stream": true, "stream_options": {"include_usage": true},
			"flashback": {"k": 2, "stride": 4, "query_len": 8, "passage_len": 20, "context_budget": 40, "echo": "turn", "mix_factor": 2, "look_ahead": 3,
				"exclude": {"ids": ["a"], "titles": ["b"], "sources": ["c"]}, "on_retrieval_error": "continue", "cite": "footer", "openwebui": true, "trace": true}}`},
		{"/v1/chat/completions", `{"model": "tiny+terse", "messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "There."}, {"role": "user", "content": "Sure?"}],
			"max_tokens": 3, "flashback": {"indexes": ["notes", "law"], "layout": "in-turn", "influence": true}, "tools": [], "response_format": {"type": "text"}}`},
		{"/v1/completions", `{"model": "tiny@notes", "prompt": "a text", "max_tokens": 4, "echo": true, "logprobs": 2, "stop": "z", "n": 3, "flashback": {"placement": "append", "echo": 3}}`},
		{"/v1/completions", `{"model": "tiny", "prompt": [65, 66, 67], "max_tokens": 0, "echo": true, "logprobs": 0, "stream": true}`},
		{"/v1/responses", `{"model": "tiny", "input": [{"role": "user", "content": [{"type": "input_text", "text": "Where?"}]}, {"type": "file_search_call"},
			{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "There."}]}, {"role": "user", "content": "Sure?"}], "instructions": "Be brief.",
			"max_output_tokens": 5, "top_logprobs": 2, "tools": [{"type": "file_search", "vector_store_ids": ["notes"], "max_num_results": 3}], "tool_choice": "auto",
			"include": ["file_search_call.results"], "metadata": {"a": "b"}, "store": false, "stream": true, "flashback": {"stride": 2, "influence": true}}`},
		{"/api/chat", `{"model": "tiny@notes:latest", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where?", "images": []}], "stream": true, "keep_alive": "5m",
			"options": {"temperature": 0.5, "top_k": 4, "top_p": 0.9, "min_p": 0.1, "repeat_penalty": 1.1, "repeat_last_n": -1, "seed": 7, "stop": ["x"], "num_predict": 5, "num_ctx": 2048},
			"flashback": {"stride": 2, "trace": true}}`},
		{"/api/generate", `{"model": "tiny", "prompt": "Where?", "system": "Be brief.", "raw": false, "stream": false, "options": {"num_predict": -1, "mirostat": 0}}`},
		{"/api/show", `{"model": "tiny", "name": "tiny@law"}`},
		{"/v1/influence", `{"model": "tiny@notes", "messages": [{"role": "user", "content": "Where?"}], "flashback": {"k": 2},
			"trace": {"strides": [{"stride": 0, "context": 10, "placement": "virtual", "passages": [{"id": "a", "text": "b", "score": 1, "in_turn": true}], "tokens": [65, 66], "text": "AB"}]}}`},
		{"/tokenize", `{"content": "a text", "parse_special": true}`},
		{"/detokenize", `{"tokens": [65, 66], "special": true}`},
		{"/apply-template", `{"messages": [{"role": "user", "content": "Hello"}]}`},
	}}
}

// junk is what fields do not expect.
var junk = []any{
	nil, true, false, 0, -1, 1, 3, 0.5, 1e308, -1e308, json.Number("9223372036854775808"), json.Number("-2147483649"), json.Number("1e400"), "", "0", "\x00", "\xff\xfe", "turn",
	"virtual", "prepend", "none", "<end>", "\x1b[2J", strings.Repeat("x", 5000), []any{}, []any{nil}, []any{[]any{1}}, []any{-1, 1 << 30}, []any{"a", 1}, map[string]any{}, map[string]any{"": nil},
	json.RawMessage(strings.Repeat("[", 500) + strings.Repeat("]", 500)),
}

// next returns a body and where to send it.
func (m *mutator) next() (path string, body []byte) {
	s := m.seeds[m.r.IntN(len(m.seeds))]
	var v any
	json.Unmarshal([]byte(s.body), &v)
	for range 1 + m.r.IntN(3) {
		v = m.change(v)
	}
	body, err := json.Marshal(v)
	if err != nil { // a number that JSON has and no field takes
		body = []byte(s.body)
	}
	return s.path, m.scramble(body)
}

// scramble changes some bytes, now and then.
func (m *mutator) scramble(body []byte) []byte {
	for m.r.IntN(4) == 0 && len(body) > 0 {
		at := m.r.IntN(len(body))
		switch m.r.IntN(4) {
		case 0:
			body[at] = byte(m.r.IntN(256))
		case 1:
			body = body[:at]
		case 2:
			body = slices.Delete(body, at, min(len(body), at+1+m.r.IntN(9)))
		default:
			body = slices.Insert(body, at, body[at:min(len(body), at+1+m.r.IntN(60))]...)
		}
	}
	return body
}

// change changes something somewhere in a value.
func (m *mutator) change(v any) any {
	if m.r.IntN(4) == 0 {
		return junk[m.r.IntN(len(junk))]
	}
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			break
		}
		key := slices.Sorted(maps.Keys(v))[m.r.IntN(len(v))]
		switch m.r.IntN(8) {
		case 0:
			delete(v, key)
		case 1:
			v[key+"x"] = v[key]
		default:
			v[key] = m.change(v[key])
		}
		return v
	case []any:
		if len(v) == 0 {
			break
		}
		at := m.r.IntN(len(v))
		switch m.r.IntN(8) {
		case 0:
			return slices.Delete(v, at, at+1)
		case 1:
			return append(v, v[at])
		default:
			v[at] = m.change(v[at])
		}
		return v
	}
	return junk[m.r.IntN(len(junk))]
}

// TestMutatedUploads sends forms with faults, of files with faults: each is taken or
// refused, and none as a fault of the server.
func TestMutatedUploads(t *testing.T) {
	l, err := library.Open(library.Options{Dir: t.TempDir(), Tokenizer: words{}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := serve(t, &fake{}, func(o *Options) { o.Stores, o.MaxUpload = l, 4<<10 })
	var forms []*http.Request
	for _, name := range []string{"a.md", "a.pdf", "a.docx", "../b.txt", "c.html.gz", ""} {
		for _, purpose := range []string{"assistants", "user_data", "fine-tune"} {
			forms = append(forms, upload(name, "A fox\x00 in the \xffwood.", "purpose", purpose))
		}
	}
	forms = append(forms, upload("large.txt", strings.Repeat("x", 8<<10), "purpose", "assistants"))
	bodies := make([][]byte, len(forms))
	for i, r := range forms {
		if bodies[i], err = io.ReadAll(r.Body); err != nil {
			t.Fatal(err)
		}
	}
	m := newMutator()
	taken := 0
	for i := range rounds(1000, 20_000) {
		at := m.r.IntN(len(forms))
		body := bytes.Clone(bodies[at])
		for range m.r.IntN(4) {
			body = m.scramble(body)
		}
		r := httptest.NewRequest("POST", "http://localhost/v1/files", bytes.NewReader(body))
		r.Header.Set("Content-Type", string(m.scramble([]byte(forms[at].Header.Get("Content-Type")))))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 500 || w.Code >= 400 && !bytes.HasPrefix(w.Body.Bytes(), []byte(`{"error":{`)) {
			t.Fatalf("form %d: %d %s\n%q\n%q", i, w.Code, w.Body, r.Header, body)
		}
		if w.Code == 200 {
			taken++
			var file fileObject
			if err := json.Unmarshal(w.Body.Bytes(), &file); err != nil {
				t.Fatal(err)
			}
			ask(t, s, 200, "DELETE", "/v1/files/"+file.ID, "", nil)
		}
	}
	if n := len(l.Files()); taken == 0 || n != 0 {
		t.Errorf("%d forms were taken, and %d files are left", taken, n)
	}
}
