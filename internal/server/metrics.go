package server

import (
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/flashback-lm/flashback"
)

// metrics are what GET /metrics tells, in vLLM's words where it has the thing too. Values
// of labels come from the configuration and from this program, never from a request: how
// many series there are does not depend on who asks what.
type metrics struct {
	page http.Handler

	answers                *prometheus.CounterVec // by route and status
	requests               *prometheus.CounterVec // by reason
	cancelled              *prometheus.CounterVec // by phase
	preemptions            prometheus.Counter
	prompt, written        prometheus.Counter // tokens
	queries, hits          prometheus.Counter // tokens
	evidence               *prometheus.CounterVec
	firstToken, gap, whole prometheus.Histogram
	queue                  prometheus.Histogram
	retrieval              *prometheus.HistogramVec // by index
	stride                 *prometheus.HistogramVec // by placement
	generation             *prometheus.GaugeVec     // by index
	indexes                map[string]bool          // that are values of a label: those that there were at the start
}

// Buckets, in seconds: of whole requests, and of what is done many times in one.
var (
	longTimes  = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 25, 60, 120, 300}
	shortTimes = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

// Values of labels that stand for many.
const (
	otherIndex   = "(other)"   // one that was made while the server ran
	severalIndex = "(several)" // searched as one
)

// newMetrics returns the metrics of a server.
func newMetrics(s *Server) *metrics {
	r := prometheus.NewRegistry()
	m := &metrics{indexes: map[string]bool{}, page: promhttp.HandlerFor(r, promhttp.HandlerOpts{})}
	for _, name := range s.indexes() {
		m.indexes[name] = true
	}
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	gauge := func(name, help string, value func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "flashback", Name: name, Help: help}, value))
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "flashback", Name: name, Help: help}, labels)
		r.MustRegister(c)
		return c
	}
	counter := func(name, help string) prometheus.Counter { return counters(name, help).WithLabelValues() }
	histograms := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "flashback", Name: name, Help: help, Buckets: buckets}, labels)
		r.MustRegister(h)
		return h
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return histograms(name, help, buckets).WithLabelValues().(prometheus.Histogram)
	}

	gauge("num_requests_running", "Requests that are being answered.", func() float64 { running, _ := s.admission.load(); return float64(running) })
	gauge("num_requests_waiting", "Requests that wait for room in the KV budget.", func() float64 { _, waiting := s.admission.load(); return float64(waiting) })
	share := func(pages func(flashback.KVUsage) int) func() float64 {
		return func() float64 {
			u := s.o.Model.KV()
			return float64(pages(u)) / float64(max(u.Limit, 1))
		}
	}
	gauge("kv_cache_usage_perc", "The part of the KV budget that texts take; 1 is all.", share(func(u flashback.KVUsage) int { return u.Pages - u.Kept }))
	gauge("kv_cache_kept_perc", "The part of it that is kept for texts to come, and gives way to others.", share(func(u flashback.KVUsage) int { return u.Kept }))
	m.answers = counters("http_requests_total", "Answers, by the pattern of the route and the status.", "route", "status")
	m.requests = counters("requests_total", "Chats and completions that were asked for as they may be, by why they ended: the reason that the text ended for, or the code of the error.", "reason")
	m.cancelled = counters("requests_cancelled_total", "Those whose client went away, by where they were.", "phase")
	m.preemptions = counter("num_preemptions_total", "Running requests that were ended because the KV budget had no room left for them.")
	m.prompt = counter("prompt_tokens_total", "Tokens of prompts, without passages.")
	m.written = counter("generation_tokens_total", "Tokens that were written.")
	m.queries = counter("prefix_cache_queries_total", "Tokens of prompts whose keys and values were looked for among those that are kept.")
	m.hits = counter("prefix_cache_hits_total", "Tokens whose keys and values were found there.")
	m.evidence = counters("evidence_tokens_total", "Tokens of passages put beside a text, by whether their keys and values had been kept.", "reused")
	m.firstToken = histogram("time_to_first_token_seconds", "From a request's coming to its first token.", longTimes)
	m.gap = histogram("inter_token_latency_seconds", "From one token of a text to the next.", shortTimes)
	m.whole = histogram("e2e_request_latency_seconds", "From a request's coming to its end.", longTimes)
	m.queue = histogram("request_queue_time_seconds", "From a request's coming to its being admitted or refused.", longTimes)
	m.retrieval = histograms("retrieval_seconds", "Looking passages up, by index.", shortTimes, "index")
	m.stride = histograms("stride_seconds", "From one look-up's end to the next one's or the text's, by where the passages stood.", longTimes, "placement")
	m.generation = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "flashback", Name: "index_generation", Help: "How many changes an index had seen when it was last looked up in."}, []string{"index"})
	r.MustRegister(m.generation)
	return m
}

// index returns the value of a label for the indexes of these names.
func (m *metrics) index(names ...string) string {
	switch {
	case len(names) > 1:
		return severalIndex
	case !m.indexes[names[0]]:
		return otherIndex
	}
	return names[0]
}

// acquired notes which state of the indexes of these names is read.
func (m *metrics) acquired(names []string, r Reading) {
	states, ok := r.(interface{ Generations() []uint64 })
	if !ok {
		return
	}
	for i, generation := range states.Generations() {
		if m.indexes[names[i]] {
			m.generation.WithLabelValues(names[i]).Set(float64(generation))
		}
	}
}

// retrieved notes how long passages were looked up.
func (m *metrics) retrieved(names []string, took time.Duration) {
	m.retrieval.WithLabelValues(m.index(names...)).Observe(took.Seconds())
}

// counted adds what a request that ended took.
func (m *metrics) counted(prompt, written int, c flashback.Counts) {
	m.prompt.Add(float64(prompt))
	m.queries.Add(float64(prompt))
	m.hits.Add(float64(min(c.PromptReused, prompt)))
	m.written.Add(float64(written))
	m.evidence.WithLabelValues("true").Add(float64(c.EvidenceReused))
	m.evidence.WithLabelValues("false").Add(float64(c.Evidence - c.EvidenceReused))
}

// metricsPage is GET /metrics, for keys that may know of all indexes.
func (s *Server) metricsPage(w http.ResponseWriter, r *http.Request, k *Key) error {
	if k != nil && !slices.Contains(k.indexes, "*") {
		return &Error{Status: http.StatusForbidden, Type: authentication, Code: "forbidden", Message: "the metrics name all indexes: ask for them with a key that has indexes=*"}
	}
	s.metrics.page.ServeHTTP(w, r)
	return nil
}
