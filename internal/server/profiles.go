package server

import (
	"net/http"
	"net/http/pprof"
)

// Profiles returns what answers with profiles of the process, as `go tool pprof` reads
// them, to those who ask by a name of this machine. It is for a listener of its own.
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.Host) {
			foreignHost().write(w)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
