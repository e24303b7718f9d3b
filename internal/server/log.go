package server

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

// entry is what the log says of a request when it has ended: never a word of what was
// asked or answered.
type entry struct {
	id     string // that the answer carries too
	came   time.Time
	key    string // its name
	status int
	err    *Error

	// Of chats and completions.
	model          string // as it was asked for, once it is known to be one
	stream         bool
	reason         string // why it ended
	queued, first  time.Duration
	prompt, cached int // tokens
	written        int
	strides        int
	evidence       int // tokens
	evidenceReused int
}

type entryKey struct{}

// entryOf returns the entry of the request whose context it is.
func entryOf(ctx context.Context) *entry {
	e, ok := ctx.Value(entryKey{}).(*entry)
	if !ok {
		e = &entry{came: time.Now()}
	}
	return e
}

// requestIDs are ids that clients may give their requests: what is safe in a header and
// in a log.
var requestIDs = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

// ServeHTTP implements http.Handler: it answers, counts the answer, logs and traces it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := &entry{id: r.Header.Get("X-Request-Id"), came: time.Now()}
	if !requestIDs.MatchString(e.id) {
		e.id = newID("req-")
	}
	w.Header().Set("X-Request-Id", e.id)
	r = r.WithContext(context.WithValue(r.Context(), entryKey{}, e))
	r, traced := s.traceRequest(r)
	s.handler.ServeHTTP(&watchedWriter{w, e}, r)
	if e.status == 0 {
		e.status = statusGone // nobody was told anything
	}
	route := r.Pattern
	if route == "" {
		route = "none"
	}
	s.metrics.answers.WithLabelValues(route, strconv.Itoa(e.status)).Inc()
	s.log(r, e, route)
	traced(route, e)
}

// statusGone stands for the status of a request whose client went away before it had an
// answer, as nginx has it.
const statusGone = 499

// log writes the line of a request.
func (s *Server) log(r *http.Request, e *entry, route string) {
	level := slog.LevelInfo
	switch {
	case e.status >= http.StatusInternalServerError || e.err != nil && e.err.Status >= http.StatusInternalServerError:
		level = slog.LevelError
	case isProbe[route]:
		level = slog.LevelDebug
	}
	if !s.o.Log.Enabled(r.Context(), level) {
		return
	}
	seconds := func(name string, d time.Duration) slog.Attr {
		return slog.Float64(name, float64(d.Round(time.Microsecond))/1e9)
	}
	a := []slog.Attr{slog.String("request_id", e.id), slog.String("route", route), slog.Int("status", e.status), seconds("seconds", time.Since(e.came))}
	if e.key != "" {
		a = append(a, slog.String("key", e.key))
	}
	if e.err != nil {
		a = append(a, slog.String("code", e.err.Code))
		if e.err.Param != "" {
			a = append(a, slog.String("param", e.err.Param))
		}
		if e.err.Status >= http.StatusInternalServerError { // others repeat what the client sent
			a = append(a, slog.String("error", e.err.Message))
			if e.err.cause != nil {
				a = append(a, slog.String("cause", e.err.cause.Error()))
			}
		}
	}
	if e.model != "" {
		a = append(a, slog.String("model", e.model), slog.Bool("stream", e.stream), slog.String("reason", e.reason), seconds("queue_seconds", e.queued), seconds("first_token_seconds", e.first),
			slog.Int("prompt_tokens", e.prompt), slog.Int("cached_tokens", e.cached), slog.Int("completion_tokens", e.written),
			slog.Int("strides", e.strides), slog.Int("evidence_tokens", e.evidence), slog.Int("evidence_tokens_reused", e.evidenceReused))
	}
	s.o.Log.LogAttrs(r.Context(), level, "request", a...)
}

// isProbe are the routes that machines ask all the time.
var isProbe = map[string]bool{"GET /health": true, "GET /ready": true, "GET /metrics": true}

// watchedWriter notes the status of an answer.
type watchedWriter struct {
	http.ResponseWriter
	entry *entry
}

// WriteHeader implements http.ResponseWriter.
func (w *watchedWriter) WriteHeader(status int) {
	if w.entry.status == 0 && status >= http.StatusOK {
		w.entry.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *watchedWriter) Write(p []byte) (int, error) {
	if w.entry.status == 0 {
		w.entry.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach what is below.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
