package server

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// A request is a span with its route, status and numbers of tokens. Below it are its
// waiting for room (queue), each look-up of passages (retrieval) and what was written
// with them (stride: prefill up to the first token, then decode). No text that was asked,
// found or written is in any.

// OpenTraces returns what makes spans and sends them to an OTLP collector over HTTP, and
// what sends the last of them at the end. The collector is address's, or where that is ""
// the one that OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT names;
// other variables of OpenTelemetry say how. Without either there are no spans: nil.
func OpenTraces(ctx context.Context, address string) (trace.Tracer, func(context.Context) error, error) {
	var options []otlptracehttp.Option
	switch {
	case address != "":
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, nil, fmt.Errorf("%q is no address of a collector: give one such as http://localhost:4318", address)
		}
		if strings.Trim(u.Path, "/") == "" {
			u.Path = "/v1/traces" // where collectors take them
		}
		options = append(options, otlptracehttp.WithEndpointURL(u.String()))
	case os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" || os.Getenv("OTEL_SDK_DISABLED") == "true":
		return nil, func(context.Context) error { return nil }, nil
	}
	exporter, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, nil, err
	}
	who, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(attribute.String("service.name", "flashback")), resource.WithFromEnv())
	if err != nil {
		return nil, nil, err
	}
	p := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(who))
	return p.Tracer("github.com/flashback-lm/flashback"), p.Shutdown, nil
}

// traceRequest begins the span of a request, below the one that its client has, and
// returns what ends it.
func (s *Server) traceRequest(r *http.Request) (*http.Request, func(route string, e *entry)) {
	if isProbe[r.Method+" "+r.URL.Path] {
		return r, func(string, *entry) {}
	}
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := s.o.Tracer.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer))
	return r.WithContext(ctx), func(route string, e *entry) {
		if span.IsRecording() {
			span.SetName(route)
			span.SetAttributes(
				attribute.String("http.route", route), attribute.Int("http.response.status_code", e.status), attribute.String("flashback.request_id", e.id),
			)
			if e.model != "" {
				span.SetAttributes(
					attribute.String("gen_ai.request.model", e.model), attribute.StringSlice("gen_ai.response.finish_reasons", []string{e.reason}),
					attribute.Int("gen_ai.usage.input_tokens", e.prompt), attribute.Int("gen_ai.usage.output_tokens", e.written),
					attribute.Int("flashback.cached_tokens", e.cached), attribute.Int("flashback.evidence_tokens", e.evidence), attribute.Int("flashback.evidence_tokens_reused", e.evidenceReused),
				)
			}
			if e.err != nil {
				span.SetAttributes(attribute.String("error.type", e.err.Code))
				if e.err.Status >= http.StatusInternalServerError {
					span.SetStatus(codes.Error, e.err.Code)
				}
			}
		}
		span.End()
	}
}

// spans are those of a job while it is written.
type spans struct {
	tracer trace.Tracer
	ctx    context.Context // has the request's span
	queue  trace.Span
	open   []strideSpans // of each choice
}

// strideSpans are a stride's span and that of its part under way; nil: there is none.
type strideSpans struct {
	ctx        context.Context
	whole, now trace.Span
	decodes    bool
}

// newSpans begins with the waiting.
func (s *Server) newSpans(ctx context.Context, choices int) *spans {
	t := &spans{tracer: s.o.Tracer, ctx: ctx, open: make([]strideSpans, choices)}
	_, t.queue = t.tracer.Start(ctx, "queue")
	return t
}

// stride begins that of a choice with its prefill.
func (t *spans) stride(choice int, at time.Time, placement string, passages int) {
	t.end(choice, at)
	x := &t.open[choice]
	x.ctx, x.whole = t.tracer.Start(t.ctx, "stride", trace.WithTimestamp(at), trace.WithAttributes(
		attribute.Int("flashback.choice", choice), attribute.String("flashback.placement", placement), attribute.Int("flashback.passages", passages)))
	_, x.now = t.tracer.Start(x.ctx, "prefill", trace.WithTimestamp(at))
	x.decodes = false
}

// token ends the prefill at the first one of a stride.
func (t *spans) token(choice int, at time.Time) {
	if x := &t.open[choice]; x.whole != nil && !x.decodes {
		x.now.End(trace.WithTimestamp(at))
		_, x.now = t.tracer.Start(x.ctx, "decode", trace.WithTimestamp(at))
		x.decodes = true
	}
}

// end ends a choice's stride, if there is one.
func (t *spans) end(choice int, at time.Time) {
	if x := &t.open[choice]; x.whole != nil {
		x.now.End(trace.WithTimestamp(at))
		x.whole.End(trace.WithTimestamp(at))
		*x = strideSpans{}
	}
}

// ended ends what is open.
func (t *spans) ended() {
	for i := range t.open {
		t.end(i, time.Now())
	}
}

// traceRetrieval begins the span of a look-up; indexes are their names.
func traceRetrieval(ctx context.Context, tracer trace.Tracer, indexes []string) (context.Context, func(found int, err error)) {
	ctx, span := tracer.Start(ctx, "retrieval", trace.WithAttributes(attribute.StringSlice("flashback.indexes", indexes)))
	return ctx, func(found int, err error) {
		span.SetAttributes(attribute.Int("flashback.passages", found))
		if err != nil {
			span.SetStatus(codes.Error, "retrieval_failed")
		}
		span.End()
	}
}

// noTracer makes no spans.
func noTracer() trace.Tracer { return noop.NewTracerProvider().Tracer("") }
