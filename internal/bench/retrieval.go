package bench

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Lengths of a query in tokens: the loop asks with the last 32 tokens, and with
// fewer at the start of a text.
const (
	shortestQuery = 24
	longestQuery  = 32
)

// Queries returns n queries of 24 to 32 tokens of the text.
func Queries(text *Text, decode func([]int32) string, n int) ([]string, error) {
	queries := make([]string, n)
	for i := range queries {
		tokens, err := text.Take(shortestQuery + i%(longestQuery-shortestQuery+1))
		if err != nil {
			return nil, err
		}
		queries[i] = strings.ToValidUTF8(decode(tokens), "") // characters cut at the ends
	}
	return queries, nil
}

// Latency is how long retrieval takes.
type Latency struct {
	Queries int     `json:"queries"`
	K       int     `json:"k"`
	Rounds  int     `json:"rounds"` // each asks all queries
	P50     float64 `json:"p50_ms"`
	P95     float64 `json:"p95_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
	Mean    float64 `json:"mean_ms"`
	NoHits  int     `json:"queries_without_hits"`
}

// Retrieval asks every query one after the other, rounds times, and calls step,
// if not nil, after each round.
func Retrieval(ctx context.Context, r retrieve.Retriever, queries []string, k, rounds int, step func()) (Latency, error) {
	var ms []float64
	sum := 0.0
	l := Latency{Queries: len(queries), K: k, Rounds: rounds}
	for range rounds {
		l.NoHits = 0
		for _, q := range queries {
			if err := ctx.Err(); err != nil {
				return l, err
			}
			start := time.Now()
			hits, err := r.Retrieve(ctx, retrieve.Query{Text: q, K: k})
			took := time.Since(start).Seconds() * 1000
			if err != nil {
				return l, fmt.Errorf("query %q: %w", q, err)
			}
			ms = append(ms, took)
			sum += took
			if len(hits) == 0 {
				l.NoHits++
			}
		}
		if step != nil {
			step()
		}
	}
	slices.Sort(ms)
	l.P50, l.P95, l.P99 = percentile(ms, 50), percentile(ms, 95), percentile(ms, 99)
	l.Max, l.Mean = ms[len(ms)-1], sum/float64(len(ms))
	return l, nil
}

// percentile returns the smallest of the sorted values that at least p percent
// of them do not exceed (nearest rank).
func percentile(sorted []float64, p float64) float64 {
	return sorted[int(math.Ceil(p/100*float64(len(sorted))))-1]
}
