package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// front is a server that runs.
type front struct {
	t     *testing.T
	base  string
	stop  context.CancelFunc
	ended chan error
}

// run runs a server that open makes.
func run(t *testing.T, shutdown time.Duration, open func() (*Server, error)) *front {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	f := &front{t, "http://" + l.Addr().String(), stop, make(chan error, 1)}
	go func() { f.ended <- Run(ctx, l, Times{Header: time.Second, Shutdown: shutdown}, open) }()
	return f
}

// ask returns the status of an answer, its text and when to come again.
func (f *front) ask(method, path, body string) (status int, text, again string) {
	r, err := http.NewRequest(method, f.base+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error(), ""
	}
	defer w.Body.Close()
	data, _ := io.ReadAll(w.Body)
	return w.StatusCode, string(data), w.Header.Get("Retry-After")
}

// A server is alive before it has a model, and ready when it has one.
func TestLoading(t *testing.T) {
	loaded := make(chan struct{})
	f := run(t, time.Second, func() (*Server, error) { <-loaded; return serve(t, &fake{text: "it"}), nil })
	for path, want := range map[string]int{"/health": 200, "/ready": 503, "/v1/models": 503, "/": 200, "/page/app.js": 200, "/page/absent": 503} {
		status, text, again := f.ask("GET", path, "")
		if status != want || status == 503 && (again == "" || !strings.Contains(text, `"loading"`)) {
			t.Errorf("%s: %d, again in %q: %s", path, status, again, text)
		}
	}
	close(loaded)
	for status := 0; status != 200; time.Sleep(time.Millisecond) {
		status, _, _ = f.ask("GET", "/ready", "")
	}
	f.stop()
	if err := <-f.ended; err != nil {
		t.Error(err)
	}
	f = run(t, time.Second, func() (*Server, error) { return nil, errors.New("no model") })
	if err := <-f.ended; err == nil || err.Error() != "no model" {
		t.Errorf("a server without a model ends with %v", err)
	}
}

// A server that is told to end takes nothing more in, and lets what is under way end.
func TestDrain(t *testing.T) {
	const body = `{"model": "tiny", ` + hello + `}`
	for _, ends := range []bool{true, false} {
		m := &fake{text: "it", hold: make(chan struct{})}
		s := serve(t, m)
		shutdown := 30 * time.Second
		if !ends {
			shutdown = 300 * time.Millisecond
		}
		f := run(t, shutdown, func() (*Server, error) { return s, nil })
		answered := make(chan string, 1)
		go func() {
			_, text, _ := f.ask("POST", "/v1/chat/completions", body)
			answered <- text
		}()
		for running := 0; running == 0; time.Sleep(time.Millisecond) {
			running, _ = s.admission.load()
		}
		f.stop()
		for !s.admission.drains() {
			time.Sleep(time.Millisecond)
		}
		if ends {
			for _, c := range [][3]string{{"GET", "/ready", ""}, {"POST", "/v1/chat/completions", body}, {"POST", "/tokenize", `{"content": "a"}`}} {
				if status, text, again := f.ask(c[0], c[1], c[2]); status != 503 || again == "" || !strings.Contains(text, `"draining"`) {
					t.Errorf("%s while it drains: %d, again in %q: %s", c[1], status, again, text)
				}
			}
			if status, _, _ := f.ask("GET", "/health", ""); status != 200 {
				t.Errorf("a server that drains is not alive: %d", status)
			}
			close(m.hold)
		}
		text := <-answered
		if ends && !strings.Contains(text, `"content":"it"`) || !ends && !strings.Contains(text, `"draining"`) {
			t.Errorf("what was under way (let end: %v) is answered %s", ends, text)
		}
		if err := <-f.ended; err != nil {
			t.Error(err)
		}
		if running, waiting := s.admission.load(); running+waiting > 0 || m.closed != 1 {
			t.Errorf("%d run, %d wait, %d chats closed", running, waiting, m.closed)
		}
		if status, _, _ := f.ask("GET", "/health", ""); status != 0 {
			t.Errorf("a server that has ended answers %d", status)
		}
	}
}
