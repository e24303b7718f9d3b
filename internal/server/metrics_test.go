package server

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	names "github.com/prometheus/common/model"

	"github.com/flashback-lm/flashback"
)

// scrape reads the metrics as Prometheus does, and returns the value of each series; of
// histograms how many values they have seen.
func scrape(t *testing.T, s http.Handler) map[string]float64 {
	t.Helper()
	r := httptest.NewRequest("GET", "http://localhost:8080/metrics", nil)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	parser := expfmt.NewTextParser(names.LegacyValidation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if w.Code != http.StatusOK || err != nil {
		t.Fatalf("%d: %v", w.Code, err)
	}
	values := map[string]float64{}
	for name, f := range families {
		if f.GetHelp() == "" {
			t.Errorf("%s: nothing says what it is", name)
		}
		for _, m := range f.Metric {
			key := name
			for _, l := range m.Label {
				key += fmt.Sprintf(" %s=%s", l.GetName(), l.GetValue())
			}
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				values[key] = m.Counter.GetValue()
			case dto.MetricType_GAUGE:
				values[key] = m.Gauge.GetValue()
			case dto.MetricType_HISTOGRAM:
				values[key] = float64(m.Histogram.GetSampleCount())
			}
		}
	}
	return values
}

// What was done is told in numbers, by labels that no request can make up.
func TestMetrics(t *testing.T) {
	m := &fake{text: "it is ünder"}
	s := serve(t, m, func(o *Options) { o.Library = &shelf{generations: []uint64{7}} })
	chat := func(model, more string) *httptest.ResponseRecorder {
		return post(s, "/v1/chat/completions", `{"model": "`+model+`", `+more+hello+`}`)
	}
	chat("tiny@notes", "")
	chat("tiny@notes", `"stream": true, `)
	chat("tiny", `"flashback": {"indexes": ["law", "notes"]}, `)
	chat("made up", "")
	post(s, "/made/up", "{}")
	m.err = flashback.ErrFull
	chat("tiny", "")
	m.err = nil
	m.hold = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "POST", "http://localhost:8080/v1/chat/completions", strings.NewReader(`{"model": "tiny", `+hello+`}`))
	r.Header.Set("Content-Type", "application/json")
	s.ServeHTTP(httptest.NewRecorder(), r)

	got := scrape(t, s)
	for key, want := range map[string]float64{
		"flashback_num_requests_running":                                           0,
		"flashback_num_requests_waiting":                                           0,
		"flashback_kv_cache_usage_perc":                                            0.5,
		"flashback_kv_cache_kept_perc":                                             0.25,
		"flashback_requests_total reason=eos":                                      3,
		"flashback_requests_total reason=kv_full":                                  1,
		"flashback_requests_total reason=cancelled":                                1,
		"flashback_requests_cancelled_total phase=running":                         1,
		"flashback_num_preemptions_total":                                          1,
		"flashback_prompt_tokens_total":                                            5 * 11,
		"flashback_prefix_cache_queries_total":                                     5 * 11,
		"flashback_prefix_cache_hits_total":                                        3 * 4,
		"flashback_evidence_tokens_total reused=true":                              3 * 5,
		"flashback_evidence_tokens_total reused=false":                             3 * 25,
		"flashback_time_to_first_token_seconds":                                    4,
		"flashback_inter_token_latency_seconds":                                    4 * 10,
		"flashback_e2e_request_latency_seconds":                                    5,
		"flashback_request_queue_time_seconds":                                     5,
		"flashback_retrieval_seconds index=notes":                                  2 * 3,
		"flashback_retrieval_seconds index=(several)":                              3,
		"flashback_stride_seconds placement=virtual":                               3 * 3,
		"flashback_index_generation index=notes":                                   7,
		"flashback_http_requests_total route=POST /v1/chat/completions status=200": 3,
		"flashback_http_requests_total route=POST /v1/chat/completions status=404": 1,
		"flashback_http_requests_total route=POST /v1/chat/completions status=503": 1,
		"flashback_http_requests_total route=POST /v1/chat/completions status=499": 1,
		"flashback_http_requests_total route=none status=404":                      1,
	} {
		if v, ok := got[key]; !ok || v != want {
			t.Errorf("%s: %v (told: %v), want %v", key, v, ok, want)
		}
	}
	for key := range got {
		if strings.Contains(key, "made") {
			t.Errorf("a request made up %s", key)
		}
	}
	if got["go_goroutines"] == 0 {
		t.Error("nothing is told of the process")
	}
}

// The metrics name all indexes, so only a key that may use all of them reads them.
func TestMetricsKeys(t *testing.T) {
	keys, err := ReadKeys(strings.NewReader("alice sk-of-alice-0123456 indexes=notes\nadmin sk-of-admin-0123456 indexes=*"))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, &fake{}, func(o *Options) { o.Keys = keys })
	for secret, want := range map[string]int{"": 401, "sk-of-alice-0123456": 403, "sk-of-admin-0123456": 200} {
		r := httptest.NewRequest("GET", "/metrics", nil)
		if secret != "" {
			r.Header.Set("Authorization", "Bearer "+secret)
		}
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != want {
			t.Errorf("key %q: %d, want %d", secret, w.Code, want)
		}
	}
}
