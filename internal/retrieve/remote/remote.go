// Package remote asks a retriever over HTTP, so that any search service can drive
// the loop. The protocol is one request:
//
//	POST URL
//	{"query": "…", "k": 3, "exclude_ids": ["…"], "exclude_titles": ["…"], "exclude_sources": ["…"]}
//
//	200 OK
//	{"passages": [{"id": "…", "title": "…", "text": "…", "source": "…", "offset": 0, "first": true, "score": 12.5}]}
//
// Passages come best first; only id, text and score are required. A service that
// cannot answer says {"error": "…"} with another status. 429 and 5xx are tried
// again, anything else is final.
package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"time"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Limits of one exchange.
const (
	DefaultTimeout = 5 * time.Second
	maxAnswer      = 16 << 20
	attempts       = 3
	firstPause     = 100 * time.Millisecond // doubled before each further attempt
)

// request and answer are the protocol's messages.
type request struct {
	Query          string   `json:"query"`
	K              int      `json:"k"`
	ExcludeIDs     []string `json:"exclude_ids,omitempty"`
	ExcludeTitles  []string `json:"exclude_titles,omitempty"`
	ExcludeSources []string `json:"exclude_sources,omitempty"`
}

type answer struct {
	Passages []retrieve.Passage `json:"passages"`
	Error    string             `json:"error,omitempty"`
}

// Retriever asks one service. It is safe for many goroutines.
type Retriever struct {
	url     string
	client  *http.Client
	timeout time.Duration
}

var _ retrieve.Retriever = (*Retriever)(nil)

// New returns a retriever that asks the service at address, an http or https
// URL. The timeout is for each attempt.
func New(address string, timeout time.Duration) (*Retriever, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("the retriever %q is no http or https URL", address)
	}
	return &Retriever{url: address, client: &http.Client{}, timeout: timeout}, nil
}

// Retrieve implements retrieve.Retriever.
func (r *Retriever) Retrieve(ctx context.Context, q retrieve.Query) ([]retrieve.Passage, error) {
	body, err := json.Marshal(request{q.Text, q.K, q.ExcludeIDs, q.ExcludeTitles, q.ExcludeSources})
	if err != nil {
		return nil, err
	}
	pause := firstPause
	for attempt := 1; ; attempt++ {
		passages, again, err := r.ask(ctx, body, q.K)
		if err == nil {
			return passages, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !again || attempt == attempts {
			return nil, fmt.Errorf("the retriever at %s, attempt %d: %w", r.url, attempt, err)
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ask makes one attempt; again says whether another may help.
func (r *Retriever) ask(ctx context.Context, body []byte, k int) (passages []retrieve.Passage, again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return nil, false, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, true, fmt.Errorf("no answer within %v", r.timeout)
		}
		return nil, true, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, true, fmt.Errorf("the answer broke off: %w", err)
	case len(data) > maxAnswer:
		return nil, false, fmt.Errorf("an answer of more than %d MiB", maxAnswer>>20)
	}
	var a answer
	parseErr := json.Unmarshal(data, &a)
	if resp.StatusCode != http.StatusOK {
		again = resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500
		if parseErr == nil && a.Error != "" {
			return nil, again, fmt.Errorf("%s: %s", resp.Status, a.Error)
		}
		return nil, again, errors.New(resp.Status)
	}
	if parseErr != nil {
		return nil, false, fmt.Errorf("the answer is not the protocol's JSON: %w", parseErr)
	}
	if len(a.Passages) > k {
		return nil, false, fmt.Errorf("%d passages, %d were asked for", len(a.Passages), k)
	}
	for i, p := range a.Passages {
		if p.ID == "" || p.Text == "" || p.Offset < 0 || math.IsNaN(p.Score) || i > 0 && p.Score > a.Passages[i-1].Score {
			return nil, false, fmt.Errorf("passage %d lacks an id or a text, or is out of order", i+1)
		}
	}
	return a.Passages, false, nil
}

// Handler serves a retriever by the protocol.
func Handler(r retrieve.Retriever) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodPost {
			reply(w, http.StatusMethodNotAllowed, answer{Error: "POST a query"})
			return
		}
		var q request
		if err := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxAnswer)).Decode(&q); err != nil {
			reply(w, http.StatusBadRequest, answer{Error: err.Error()})
			return
		}
		passages, err := r.Retrieve(req.Context(), retrieve.Query{
			Text: q.Query, K: q.K, ExcludeIDs: q.ExcludeIDs, ExcludeTitles: q.ExcludeTitles, ExcludeSources: q.ExcludeSources,
		})
		if err != nil {
			reply(w, http.StatusInternalServerError, answer{Error: err.Error()})
			return
		}
		if passages == nil {
			passages = []retrieve.Passage{}
		}
		reply(w, http.StatusOK, answer{Passages: passages})
	})
}

func reply(w http.ResponseWriter, status int, a answer) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(a) // a client that is gone needs no answer
}
