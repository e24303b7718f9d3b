package server

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/webpage"
)

// The page is there for everybody, under its policy, and is not sent again where it is
// known; what it has no file for is not found.
func TestPage(t *testing.T) {
	keys, err := ReadKeys(strings.NewReader("a secret-of-the-first\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, &fake{}, func(o *Options) { o.Keys = keys })
	get := func(path string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "http://localhost"+path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	for path, kind := range map[string]string{"/": "text/html", "/page/app.js": "text/javascript", "/page/style.css": "text/css", "/page/icon.svg": "image/svg+xml"} {
		w := get(path)
		if h := w.Header(); w.Code != 200 || !strings.HasPrefix(h.Get("Content-Type"), kind) || h.Get("Content-Security-Policy") != webpage.Policy || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", path, w.Code, h)
		}
		if again := get(path, "If-None-Match", w.Header().Get("Etag")); again.Code != 304 || again.Body.Len() > 0 {
			t.Errorf("%s again: %d with %d bytes", path, again.Code, again.Body.Len())
		}
	}
	for _, path := range []string{"/page/", "/page/absent.js", "/page/..%2fserver.go"} {
		if w := get(path); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}
