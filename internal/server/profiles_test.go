package server

import (
	"net/http/httptest"
	"testing"
)

// Profiles are told to this machine alone, though a page may have its own name point here.
func TestProfiles(t *testing.T) {
	for target, want := range map[string]int{
		"http://localhost:6060/debug/pprof/":                  200,
		"http://127.0.0.1:6060/debug/pprof/goroutine?debug=1": 200,
		"http://evil.example/debug/pprof/":                    403,
		"http://localhost:6060/":                              404,
	} {
		w := httptest.NewRecorder()
		if Profiles().ServeHTTP(w, httptest.NewRequest("GET", target, nil)); w.Code != want {
			t.Errorf("%s: %d, want %d", target, w.Code, want)
		}
	}
}
