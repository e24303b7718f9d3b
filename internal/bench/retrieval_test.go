package bench

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

func decodeLetters(tokens []int32) string {
	var text strings.Builder
	for _, t := range tokens {
		text.WriteByte(byte(t))
	}
	return text.String()
}

// asked is a retriever that remembers the queries; every third has no hits.
type asked struct {
	queries []retrieve.Query
	err     error
}

func (a *asked) Retrieve(_ context.Context, q retrieve.Query) ([]retrieve.Passage, error) {
	a.queries = append(a.queries, q)
	if len(a.queries)%3 == 0 {
		return nil, a.err
	}
	return []retrieve.Passage{{ID: "1"}}, nil
}

func TestRetrieval(t *testing.T) {
	queries, err := Queries(newText(t, 20), decodeLetters, 30)
	if err != nil {
		t.Fatal(err)
	}
	shortest, longest := 100, 0
	for _, q := range queries {
		shortest, longest = min(shortest, len(q)), max(longest, len(q))
	}
	if shortest != 24 || longest != 32 {
		t.Errorf("queries of %d to %d tokens", shortest, longest)
	}
	var r asked
	l, err := Retrieval(context.Background(), &r, queries, 2, 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.queries) != 4*30 || r.queries[0].K != 2 || r.queries[0].Text != queries[0] {
		t.Errorf("asked %d queries, the first %+v", len(r.queries), r.queries[0])
	}
	if l.Queries != 30 || l.Rounds != 4 || l.NoHits != 10 {
		t.Errorf("%+v", l)
	}
	if !(l.P50 <= l.P95 && l.P95 <= l.P99 && l.P99 <= l.Max) {
		t.Errorf("%+v: not in order", l)
	}
	if _, err := Retrieval(context.Background(), &asked{err: errors.New("disk gone")}, queries, 2, 1, nil); err == nil || !strings.Contains(err.Error(), "disk gone") {
		t.Errorf("a failing retriever: %v", err)
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	for p, want := range map[float64]float64{50: 50, 95: 95, 99: 99, 100: 100} {
		if got := percentile(hundred, p); got != want {
			t.Errorf("percentile %v of 1 … 100 is %v", p, got)
		}
	}
	if got := percentile([]float64{3}, 50); got != 3 {
		t.Errorf("percentile of one value is %v", got)
	}
}
