package server

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/flashback-lm/flashback"
)

// collected is what a collector was sent.
type collected struct {
	mu    sync.Mutex
	paths []string
	spans []*wire.Span
	raw   []byte
}

// newCollector takes spans as OpenTelemetry's collectors do.
func newCollector(t *testing.T) (*collected, string) {
	c := &collected{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil {
			t.Errorf("%s: %v", r.URL, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.paths, c.raw = append(c.paths, r.URL.Path), append(c.raw, body...)
		for _, from := range request.ResourceSpans {
			for _, scope := range from.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(s.Close)
	return c, s.URL
}

// below returns the names of the spans below one, in the order of their beginning.
func (c *collected) below(parent *wire.Span) (names []string) {
	var children []*wire.Span
	for _, s := range c.spans {
		if bytes.Equal(s.ParentSpanId, parent.SpanId) {
			children = append(children, s)
		}
	}
	slices.SortStableFunc(children, func(a, b *wire.Span) int { return int(int64(a.StartTimeUnixNano) - int64(b.StartTimeUnixNano)) })
	for _, s := range children {
		names = append(names, s.Name)
	}
	return names
}

// A request's span has those of its waiting, its look-ups and its strides below it, is
// below its client's, and none has a word of what was asked, found or written. Probes have
// none.
func TestTraces(t *testing.T) {
	c, address := newCollector(t)
	tracer, shutdown, err := OpenTraces(context.Background(), address)
	if err != nil {
		t.Fatal(err)
	}
	m := &fake{text: "zanzibar"}
	s := serve(t, m, func(o *Options) { o.Tracer = tracer })
	ask := func(method, path, body string) {
		r := httptest.NewRequest(method, "http://localhost:8080"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		s.ServeHTTP(httptest.NewRecorder(), r)
	}
	asked := `"messages": [{"role": "user", "content": "xylophone"}]}`
	ask("POST", "/v1/chat/completions", `{"model": "tiny@notes", "stream": true, `+asked)
	ask("GET", "/health", "")
	m.err = flashback.ErrFull
	ask("POST", "/v1/chat/completions", `{"model": "tiny", `+asked)
	if err := shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(c.paths) == 0 || c.paths[0] != "/v1/traces" {
		t.Fatalf("the collector was asked at %q", c.paths)
	}
	var requests []*wire.Span
	for _, span := range c.spans {
		if span.Kind == wire.Span_SPAN_KIND_SERVER {
			requests = append(requests, span)
		}
		if got := string(span.TraceId); got != "\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36" {
			t.Errorf("%s: the trace is %x, not the client's", span.Name, got)
		}
		if span.EndTimeUnixNano < span.StartTimeUnixNano {
			t.Errorf("%s ends before it begins", span.Name)
		}
	}
	if len(requests) != 2 {
		t.Fatalf("%d requests have spans, want 2", len(requests))
	}
	if got := requests[0]; got.Name != "POST /v1/chat/completions" || got.Status.GetCode() == wire.Status_STATUS_CODE_ERROR {
		t.Errorf("the first request: %v", got)
	}
	if requests[1].Status.GetCode() != wire.Status_STATUS_CODE_ERROR {
		t.Errorf("the second request has failed: %v", requests[1])
	}
	if got := c.below(requests[0]); len(got) < 3 || got[0] != "queue" || !slices.Contains(got, "stride") || !slices.Contains(got, "retrieval") {
		t.Errorf("below a request: %q", got)
	}
	strides := 0
	for _, span := range c.spans {
		if span.Name != "stride" || string(span.ParentSpanId) != string(requests[0].SpanId) {
			continue
		}
		strides++
		if got := c.below(span); !slices.Equal(got, []string{"prefill", "decode"}) {
			t.Errorf("below a stride: %q", got)
		}
	}
	if strides != 2 { // as the fake writes
		t.Errorf("%d strides, want 2", strides)
	}
	for _, word := range []string{"xylophone", "zanzibar", "behind the door"} {
		if bytes.Contains(c.raw, []byte(word)) {
			t.Errorf("%q is in the spans", word)
		}
	}
}

// There are no spans unless a collector is named, by the flag or by OpenTelemetry's
// variables.
func TestTracesAreOff(t *testing.T) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED"} {
		t.Setenv(name, "")
	}
	if tracer, _, err := OpenTraces(context.Background(), ""); tracer != nil || err != nil {
		t.Errorf("nobody asked: %v %v", tracer, err)
	}
	for _, address := range []string{"localhost:4318", "ftp://x", "http://", ":"} {
		if _, _, err := OpenTraces(context.Background(), address); err == nil {
			t.Errorf("%q is taken for a collector", address)
		}
	}
	c, address := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address+"/base")
	tracer, shutdown, err := OpenTraces(context.Background(), "")
	if tracer == nil || err != nil {
		t.Fatal(err)
	}
	_, span := tracer.Start(context.Background(), "x")
	span.End()
	if err := shutdown(context.Background()); err != nil || len(c.paths) != 1 || c.paths[0] != "/base/v1/traces" {
		t.Errorf("%v, asked at %q", err, c.paths)
	}
	t.Setenv("OTEL_SDK_DISABLED", "true")
	if tracer, _, err := OpenTraces(context.Background(), ""); tracer != nil || err != nil {
		t.Errorf("it is disabled: %v %v", tracer, err)
	}
}
