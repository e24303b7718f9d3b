package server

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/flashback-lm/flashback/internal/webpage"
)

// Times are how long a server waits for what it has no say in.
type Times struct {
	Header   time.Duration // for the head of a request to come
	Shutdown time.Duration // for what is under way to end, when the server is told to
}

// idleTime is how long a connection is kept for a next request.
const idleTime = 2 * time.Minute

// Run answers on a listener until the context ends. Until open has returned the server,
// it is alive and not ready. At the end nothing more is taken in; what is under way may
// go on for its time, and what is not done by then is cut off.
func Run(ctx context.Context, l net.Listener, t Times, open func() (*Server, error)) error {
	base, cut := context.WithCancelCause(context.Background())
	defer cut(nil)
	var ready atomic.Pointer[Server]
	answer := func(w http.ResponseWriter, r *http.Request) {
		if s := ready.Load(); s != nil {
			s.ServeHTTP(w, r)
			return
		}
		loading(w, r)
	}
	h := &http.Server{Handler: http.HandlerFunc(answer), ReadHeaderTimeout: t.Header, IdleTimeout: idleTime, MaxHeaderBytes: 64 << 10, BaseContext: func(net.Listener) context.Context { return base }}
	defer h.Close()
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(l) }()

	s, err := open()
	if err != nil {
		return err
	}
	ready.Store(s)
	s.notify(systemdReady)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	s.notify(systemdStopping)
	late, cancel := context.WithTimeout(context.Background(), t.Shutdown)
	defer cancel()
	running, waiting := s.admission.load()
	s.o.Log.Info("ending", "running", running, "waiting", waiting)
	select {
	case <-s.admission.drain():
	case <-late.Done():
	}
	if h.Shutdown(late) == nil {
		return nil
	}
	running, waiting = s.admission.load()
	s.o.Log.Warn("cut off", "running", running, "waiting", waiting)
	cut(draining())
	late, cancel = context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	h.Shutdown(late) // what then is left is closed
	return nil
}

// loading answers while there is no model yet. The page is there, and says so.
func loading(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		file, ofPage := strings.CutPrefix(r.URL.Path, "/page/")
		switch {
		case r.URL.Path == "/health":
			writeJSON(w, http.StatusOK, alive)
			return
		case r.URL.Path == "/":
			file, ofPage = webpage.Index, true
		}
		if ofPage && showPage(w, r, file) == nil {
			return
		}
	}
	Unavailable(time.Second, "loading", "the model is being loaded").write(w)
}

// draining is what is said of requests that come too late.
func draining() *Error { return Unavailable(5*time.Second, "draining", "the server is shutting down") }
