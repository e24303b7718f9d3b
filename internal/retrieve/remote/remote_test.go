package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// echo answers with what it was asked.
type echo struct{ err error }

func (e echo) Retrieve(_ context.Context, q retrieve.Query) ([]retrieve.Passage, error) {
	text := fmt.Sprint(q.Text, q.K, q.ExcludeIDs, q.ExcludeTitles, q.ExcludeSources)
	return []retrieve.Passage{{ID: "a", Title: "t", Text: text, Source: "f", Offset: 7, First: true, Score: 1.5}}, e.err
}

func TestRoundTrip(t *testing.T) {
	server := httptest.NewServer(Handler(echo{}))
	defer server.Close()
	r, err := New(server.URL, DefaultTimeout)
	if err != nil {
		t.Fatal(err)
	}
	q := retrieve.Query{Text: "héllo \"x\"", K: 2, ExcludeIDs: []string{"i"}, ExcludeTitles: []string{"t"}, ExcludeSources: []string{"s"}}
	want, _ := echo{}.Retrieve(context.Background(), q)
	if got, err := r.Retrieve(context.Background(), q); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		name     string
		status   int
		body     string
		want     string
		attempts int
	}{
		{"busy", 503, `{"error":"loading"}`, "503 Service Unavailable: loading", 3},
		{"too many", 429, ``, "429", 3},
		{"refused", 400, `{"error":"no such field"}`, "no such field", 1},
		{"not JSON", 200, `<html>`, "not the protocol's JSON", 1},
		{"too many passages", 200, `{"passages":[{"id":"a","text":"x","score":2},{"id":"b","text":"y","score":1}]}`, "2 passages, 1", 1},
		{"no text", 200, `{"passages":[{"id":"a","score":2}]}`, "passage 1 lacks", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				n++
				w.WriteHeader(tc.status)
				fmt.Fprint(w, tc.body)
			}))
			defer server.Close()
			r, err := New(server.URL, DefaultTimeout)
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.Retrieve(context.Background(), retrieve.Query{Text: "q", K: 1})
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), server.URL) {
				t.Errorf("%v", err)
			}
			if n != tc.attempts {
				t.Errorf("%d attempts, want %d", n, tc.attempts)
			}
		})
	}
}

func TestTimeoutAndRecovery(t *testing.T) {
	var n atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if n.Add(1) == 1 {
			time.Sleep(time.Second / 2) // longer than the client waits
			return
		}
		Handler(echo{}).ServeHTTP(w, req)
	}))
	defer server.Close()
	r, err := New(server.URL, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Retrieve(context.Background(), retrieve.Query{K: 1}); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Retrieve(ctx, retrieve.Query{K: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, u := range []string{"", "localhost:80", "ftp://x/y", "http://", "http://a b"} {
		if _, err := New(u, DefaultTimeout); err == nil {
			t.Errorf("%q was accepted", u)
		}
	}
}
