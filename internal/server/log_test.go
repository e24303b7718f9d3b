package server

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback"
)

// logged serves with a log, whose lines are returned as they are.
func logged(t *testing.T, m *fake, change ...func(*Options)) (*Server, *bytes.Buffer) {
	var out bytes.Buffer
	change = append(change, func(o *Options) { o.Log = slog.New(slog.NewJSONHandler(&out, nil)) })
	return serve(t, m, change...), &out
}

// Each request has a line that says what it took, and its id.
func TestLog(t *testing.T) {
	s, out := logged(t, &fake{text: "it is ünder"})
	for id, kept := range map[string]bool{"trace-7.a:b": true, "": false, "two words": false, "a\nb": false, strings.Repeat("x", 129): false} {
		out.Reset()
		r := httptest.NewRequest("POST", "http://localhost:8080/v1/chat/completions", strings.NewReader(`{"model": "tiny@notes", "stream": true, `+hello+`}`))
		r.Header["X-Request-Id"] = []string{id}
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatalf("%v: %q", err, out)
		}
		told := w.Header().Get("X-Request-Id")
		if kept && told != id || !kept && !strings.HasPrefix(told, "req-") || line["request_id"] != told {
			t.Errorf("the id %q is answered %q and logged %q", id, told, line["request_id"])
		}
		for name, want := range map[string]any{
			"level": "INFO", "msg": "request", "route": "POST /v1/chat/completions", "status": 200.0, "model": "tiny@notes", "stream": true, "reason": "eos",
			"prompt_tokens": 11.0, "cached_tokens": 4.0, "completion_tokens": 11.0, "strides": 3.0, "evidence_tokens": 30.0, "evidence_tokens_reused": 5.0,
		} {
			if line[name] != want {
				t.Errorf("%s: %v, want %v", name, line[name], want)
			}
		}
		for _, name := range []string{"seconds", "queue_seconds", "first_token_seconds"} {
			if v, ok := line[name].(float64); !ok || v < 0 {
				t.Errorf("%s: %v is no duration", name, line[name])
			}
		}
	}
}

// Nothing that was asked, answered or found stands in the log, whatever went wrong.
func TestLogSaysNothing(t *testing.T) {
	m := &fake{text: "zanzibar"}
	s, out := logged(t, m)
	asked := `"messages": [{"role": "user", "content": "xylophone"}]}`
	for _, body := range []string{
		`{"model": "tiny@notes", ` + asked,
		`{"model": "tiny@notes", "stream": true, ` + asked,
		`{"model": "xylophone", ` + asked,
		`{"model": "tiny", "stop": "xylophone", "messages": [{"role": "xylophone", "content": "xylophone"}]}`,
		`{"model": "tiny", "flashback": {"xylophone": 1}, ` + asked,
		`xylophone`,
	} {
		post(s, "/v1/chat/completions", body)
	}
	post(s, "/v1/completions", `{"model": "tiny", "echo": true, "prompt": "xylophone"}`)
	post(s, "/tokenize", `{"content": "xylophone"}`)
	post(s, "/xylophone?xylophone", `{}`)
	m.err = flashback.ErrFull
	post(s, "/v1/chat/completions", `{"model": "tiny", `+asked)
	text := out.String()
	if n := strings.Count(text, "\n"); n != 10 {
		t.Errorf("%d lines, want 10", n)
	}
	for _, word := range []string{"xylophone", "zanzibar", "behind the door"} {
		if strings.Contains(text, word) {
			t.Errorf("%q is in the log:\n%s", word, text)
		}
	}
	if !strings.Contains(text, `"code":"not_found"`) || !strings.Contains(text, `"level":"ERROR"`) || !strings.Contains(text, `"error":"`) {
		t.Errorf("what went wrong is not said:\n%s", text)
	}
}

// What machines ask all the time is logged only where all is.
func TestLogProbes(t *testing.T) {
	s, out := logged(t, &fake{})
	for _, path := range []string{"/health", "/ready", "/metrics"} {
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "http://localhost"+path, nil))
	}
	if out.Len() > 0 {
		t.Errorf("probes are logged: %s", out)
	}
	s.admission.drain()
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/ready", nil)); w.Code != http.StatusServiceUnavailable || !strings.Contains(out.String(), "draining") {
		t.Errorf("%d, and the log says %q", w.Code, out)
	}
}
