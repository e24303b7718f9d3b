// Package server speaks OpenAI's HTTP API for a model that looks passages up while it
// writes. A request is read and resolved by its endpoint (chat.go, completions.go),
// admitted when the KV budget has room for it (admission.go), run, and told as one answer
// or as a stream of events (generate.go, stream.go) with the passages that it was written
// in sight of (cite.go).
package server

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/library"
)

// pageTokens is how many tokens a page of the KV budget holds.
const pageTokens = flashback.PageTokens

// Options say what a server serves. Zero limits are those of Defaults.
type Options struct {
	Model    Model
	Name     string    // what the model is called; adapters and indexes are added to it
	Version  string    // of the program, for clients that ask
	Adapters []Adapter // that requests may name
	Answers  *Adapter  // chats with passages are answered with it where they name none; nil: none
	Library  Library   // indexes that requests may name; nil: those of Stores
	// Stores are indexes that clients manage too; nil: none.
	Stores *library.Library
	Keys   Keys // nil: everybody may do everything, from this machine

	System       string // system message of chats that look passages up and have none
	MaxTokens    int    // to write where a request does not say
	SharePrompts bool   // keys and values of all keys' texts are shared
	Ollama       bool   // Ollama's API is spoken too
	PublicURL    string // what addresses of passages begin with; "": the request's host

	MaxBody      int64         // bytes of a body
	MaxUpload    int64         // bytes of a file
	UploadTime   time.Duration // for a piece of it to come
	MaxQueue     int           // requests that wait
	QueueTime    time.Duration // how long they do
	PerKey       int           // requests of one key at once
	BodyTime     time.Duration // for a request's body to come
	StreamBuffer int           // bytes of a stream that its reader has not taken yet
	StreamTime   time.Duration // for a reader to take a piece of them
	// RetrievalTime is how long one look-up of passages may take.
	RetrievalTime time.Duration
	Ping          time.Duration // between comments in a stream that is silent

	Tracer trace.Tracer // makes spans of requests; nil: there are none

	Log *slog.Logger // has a line for each request; nil: nobody reads it
}

// Adapter is one that requests may name.
type Adapter struct {
	Name   string // as CheckName takes it
	Loaded *flashback.Adapter
	Info   flashback.AdapterInfo // what it was trained for
}

// adapter returns the adapter of that name, or nil.
func (o *Options) adapter(name string) *Adapter {
	for i := range o.Adapters {
		if o.Adapters[i].Name == name {
			return &o.Adapters[i]
		}
	}
	return nil
}

// ownAdapter returns the adapter that answers are written with where none is named.
func (o *Options) ownAdapter(placement string) *Adapter {
	if o.Answers != nil && o.Answers.Info.Suits(placement) {
		return o.Answers
	}
	return nil
}

// Server answers requests; it is an http.Handler.
type Server struct {
	o         *Options
	admission *admission
	batches   fileBatches
	started   time.Time
	mux       *http.ServeMux
	handler   http.Handler
	metrics   *metrics
}

// Defaults returns the limits that stand where Options have zeros.
func Defaults() Options {
	return Options{
		MaxTokens: 1024, // as much as answers have; OpenAI's clients that say nothing expect no less
		MaxBody:   4 << 20, BodyTime: 30 * time.Second,
		MaxUpload: 512 << 20, UploadTime: 30 * time.Second,
		MaxQueue: 256, QueueTime: time.Minute, PerKey: 16,
		StreamBuffer: 64 << 10, StreamTime: 30 * time.Second,
		RetrievalTime: 10 * time.Second,
		Ping:          15 * time.Second,
	}
}

// New returns a server.
func New(o Options) (*Server, error) {
	d := Defaults()
	o.MaxTokens = cmp.Or(o.MaxTokens, d.MaxTokens)
	o.MaxBody = cmp.Or(o.MaxBody, d.MaxBody)
	o.MaxUpload = cmp.Or(o.MaxUpload, d.MaxUpload)
	o.UploadTime = cmp.Or(o.UploadTime, d.UploadTime)
	o.MaxQueue = cmp.Or(o.MaxQueue, d.MaxQueue)
	o.QueueTime = cmp.Or(o.QueueTime, d.QueueTime)
	o.PerKey = cmp.Or(o.PerKey, d.PerKey)
	o.BodyTime = cmp.Or(o.BodyTime, d.BodyTime)
	o.StreamBuffer = cmp.Or(o.StreamBuffer, d.StreamBuffer)
	o.StreamTime = cmp.Or(o.StreamTime, d.StreamTime)
	o.RetrievalTime = cmp.Or(o.RetrievalTime, d.RetrievalTime)
	o.Ping = cmp.Or(o.Ping, d.Ping)
	o.Model = orderly{o.Model, &sync.Mutex{}}
	if o.Tracer == nil {
		o.Tracer = noTracer()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: &o, admission: newAdmission(&o, o.Model.KV().Limit*pageTokens), started: time.Now(), mux: http.NewServeMux()}
	if o.Stores != nil {
		o.Library = managed{o.Stores}
		s.storeRoutes()
	}
	s.routes()
	if o.Ollama {
		s.ollamaRoutes()
	}
	s.metrics = newMetrics(s)
	// Browsers say where a request comes from: no page of another origin may ask.
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, &Error{Status: http.StatusForbidden, Type: invalidRequest, Code: "cross_origin", Message: "pages of another origin may not ask this server"})
	}))
	s.handler = origins.Handler(http.HandlerFunc(s.dispatch))
	return s, nil
}

// routes are the endpoints.
func (s *Server) routes() {
	s.handle("POST /v1/chat/completions", s.chat)
	s.handle("POST /v1/completions", s.completions)
	s.handle("POST /v1/influence", s.influence)
	s.handle("POST /v1/responses", s.responses)
	s.handle("POST /mcp", s.mcp)
	s.handle("GET /v1/models", s.listModels)
	s.handle("GET /v1/models/{id}", s.getModel)
	s.handle("POST /v1/embeddings", s.embeddings)
	s.handle("POST /tokenize", s.tokenize)
	s.handle("POST /detokenize", s.detokenize)
	s.handle("POST /apply-template", s.applyTemplate)
	s.handle("GET /slots", s.slots)
	s.handle("GET /props", s.props)
	s.handle("GET /metrics", s.metricsPage)
	s.handleOpen("GET /health", s.health)
	s.handleOpen("GET /ready", s.ready)
	s.handleOpen("GET /openapi.json", s.openAPI)
	s.handleOpen("GET /{$}", s.root)
	s.handleOpen("GET /page/{file}", s.pageFile)
}

// handler answers a request of a key, or returns an *Error or what asError makes one of.
type handler func(w http.ResponseWriter, r *http.Request, k *Key) error

// handle registers what only keys may ask.
func (s *Server) handle(pattern string, h handler) {
	s.handleOpen(pattern, func(w http.ResponseWriter, r *http.Request, _ *Key) error {
		k, err := s.o.Keys.of(r)
		if err != nil {
			return err
		}
		entryOf(r.Context()).key = k.id()
		return h(w, r, k)
	})
}

// handleOpen registers what anybody may ask.
func (s *Server) handleOpen(pattern string, h handler) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r, nil)
		_, told := errors.AsType[*Error](err) // though the context is done its client may be there: of a body that stood still, or when the server ends
		if err != nil && !errors.Is(err, errGone) && (told || r.Context().Err() == nil) {
			refuse(w, r, asError(err))
		}
	})
}

// refuse answers with an error, and has the log tell it.
func refuse(w http.ResponseWriter, r *http.Request, e *Error) {
	entryOf(r.Context()).err = e
	if isOllama(r) {
		e.writeAs(w, e.Message)
		return
	}
	e.write(w)
}

// dispatch finds the endpoint.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	http.NewResponseController(w).SetWriteDeadline(time.Time{}) // that of the answer before, on this connection
	if s.o.Keys == nil && !isLoopback(r.Host) {
		refuse(w, r, foreignHost()) // a page may have had its own name point here
		return
	}
	if r.Method != http.MethodGet && s.admission.drains() {
		refuse(w, r, draining())
		return
	}
	h, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	// What the mux says of it, in our words.
	said := &muted{header: w.Header()}
	h.ServeHTTP(said, r)
	switch {
	case said.status == http.StatusMethodNotAllowed:
		w.Header().Del("Content-Type")
		refuse(w, r, &Error{Status: said.status, Type: invalidRequest, Code: "method_not_allowed",
			Message: "the method " + clip(r.Method) + " is none of this endpoint's: " + w.Header().Get("Allow")})
	default:
		refuse(w, r, NotFound("", "not_found", "there is no endpoint %s", clip(r.URL.Path)))
	}
}

// foreignHost is what is said to who asks by another name than this machine's.
func foreignHost() *Error {
	return &Error{Status: http.StatusForbidden, Type: invalidRequest, Code: "forbidden_host",
		Message: "without keys this server answers to names of this machine only, such as localhost"}
}

// muted takes what a handler answers but for its head.
type muted struct {
	header http.Header
	status int
}

func (m *muted) Header() http.Header         { return m.header }
func (m *muted) WriteHeader(status int)      { m.status = status }
func (m *muted) Write(p []byte) (int, error) { return len(p), nil }

// isLoopback reports whether a host, perhaps with a port, is a name of this machine.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

// base returns what addresses of this server begin with.
func (s *Server) base(r *http.Request) string {
	if s.o.PublicURL != "" {
		return strings.TrimSuffix(s.o.PublicURL, "/")
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// nextID returns a number that nobody can guess.
func nextID() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}
