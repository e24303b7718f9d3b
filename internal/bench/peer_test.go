package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
)

// prefixServer is a server with a prompt cache of one sequence, which stores the
// tokens it would hold KV for, and speaks llama.cpp's and OpenAI's protocols.
type prefixServer struct {
	mu      sync.Mutex
	cached  []int32
	prompts int
	short   bool // samples fewer tokens than asked
}

// complete returns how much of the prompt is not in the cache. The sampled tokens
// but the last go into it.
func (p *prefixServer) complete(prompt []int32, n int) (computed int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prompts++
	shared := 0
	for shared < min(len(prompt)-1, len(p.cached)) && prompt[shared] == p.cached[shared] {
		shared++
	}
	p.cached = append([]int32(nil), prompt...)
	for range n - 1 {
		p.cached = append(p.cached, 299) // no text has it
	}
	return len(prompt) - shared
}

type prompt struct {
	Model     string  `json:"model"`
	Prompt    []int32 `json:"prompt"`
	NPredict  int     `json:"n_predict"`
	MaxTokens int     `json:"max_tokens"`
	Cache     bool    `json:"cache_prompt"`
	IgnoreEOS bool    `json:"ignore_eos"`
	Content   string  `json:"content"`
}

func (p *prefixServer) llama() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /props", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"total_slots": 1}`) })
	mux.HandleFunc("POST /tokenize", func(w http.ResponseWriter, r *http.Request) {
		var b prompt
		json.NewDecoder(r.Body).Decode(&b)
		json.NewEncoder(w).Encode(map[string]any{"tokens": letters(b.Content)})
	})
	mux.HandleFunc("POST /completion", func(w http.ResponseWriter, r *http.Request) {
		var b prompt
		if err := json.NewDecoder(r.Body).Decode(&b); err != nil || !b.Cache || !b.IgnoreEOS || len(b.Prompt) == 0 {
			http.Error(w, fmt.Sprintf("bad request %+v: %v", b, err), http.StatusBadRequest)
			return
		}
		n := p.complete(b.Prompt, b.NPredict)
		if p.short {
			b.NPredict--
		}
		fmt.Fprintf(w, `{"tokens_predicted": %d, "timings": {"prompt_n": %d}}`, b.NPredict, n)
	})
	return mux
}

func (p *prefixServer) openAI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"data": [{"id": "some-model"}]}`) })
	mux.HandleFunc("POST /v1/completions", func(w http.ResponseWriter, r *http.Request) {
		var b prompt
		if err := json.NewDecoder(r.Body).Decode(&b); err != nil || b.Model != "some-model" {
			http.Error(w, fmt.Sprintf("bad request %+v: %v", b, err), http.StatusBadRequest)
			return
		}
		n := p.complete(b.Prompt, b.MaxTokens)
		fmt.Fprintf(w, `{"usage": {"prompt_tokens": %d, "completion_tokens": %d, "prompt_tokens_details": {"cached_tokens": %d}}}`,
			len(b.Prompt), b.MaxTokens, len(b.Prompt)-n)
	})
	return mux
}

// TestAgainst compares the tokens that a server with a prompt cache computes in a
// stride with those that the placement computes: they are the same but for the
// one forward more that a server needs where nothing is new.
func TestAgainst(t *testing.T) {
	var p prefixServer
	for name, handler := range map[string]http.Handler{"llama.cpp": p.llama(), "openai": p.openAI()} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			ctx := context.Background()
			peer, err := Dial(ctx, server.URL+"/")
			if err != nil {
				t.Fatal(err)
			}
			if peer.Name != name {
				t.Errorf("taken for %s", peer.Name)
			}
			rows, err := Loop(ctx, modeltest.Tiny(1), engine.Options{Threads: 1, Compute: engine.Exact}, newText(t, 100), LoopOptions{
				Placements: []placement.Placement{placement.Virtual, placement.Append, withEcho(t, placement.Append, 4), placement.Prepend, placement.None},
				Contexts:   []int{40, 70}, Passages: []int{1}, Evidence: 30, Stride: 8, Rounds: 3, Peer: peer,
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				want := map[string]int{"virtual cold": 8 + 30, "virtual warm": 8 + 30, "append": 8 + 30, "append echo 4": 8 + 30 + 4, "prepend": 30 + r.Context, "none": 1}[r.Name()]
				if r.Peer == nil || r.Peer.Prefilled != want || r.Peer.Name != name {
					t.Errorf("%s at %d: peer %+v, want %d tokens prefilled", r.Name(), r.Context, r.Peer, want)
					continue
				}
				if placed := map[string]string{"virtual": "append"}[r.Placement]; placed != "" && r.Peer.Placement != placed {
					t.Errorf("%s is compared with %s", r.Name(), r.Peer.Placement)
				}
				if got, want := r.Peer.Ratio, r.Peer.MSPerToken/r.MSPerToken; got != want {
					t.Errorf("%s: ratio %v instead of %v", r.Name(), got, want)
				}
			}
		})
	}
}

func TestDialRefuses(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello</html>") }))
	defer page.Close()
	missing := httptest.NewServer(http.NotFoundHandler())
	defer missing.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for address, want := range map[string]string{
		page.URL:         "is neither llama.cpp's server",
		missing.URL:      "404",
		gone.URL:         "is neither llama.cpp's server",
		"localhost:8080": "is no address of a server",
		"":               "is no address of a server",
		"http://%zz":     "is no address of a server",
	} {
		if _, err := Dial(context.Background(), address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", address, err, want)
		}
	}
}

func TestPeerErrors(t *testing.T) {
	ctx := context.Background()
	short := httptest.NewServer((&prefixServer{short: true}).llama())
	defer short.Close()
	peer, err := Dial(ctx, short.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := peer.complete(ctx, []int32{1, 2}, 8); err == nil || !strings.Contains(err.Error(), "sampled 7 tokens instead of 8") {
		t.Errorf("a short answer: %v", err)
	}
	if _, err := peer.complete(ctx, nil, 8); err == nil || !strings.Contains(err.Error(), "400 Bad Request: bad request") {
		t.Errorf("a refused prompt: %v", err)
	}
	if err := peer.CheckTokenizer(ctx, "abc", []int32{97, 98, 99}); err != nil {
		t.Error(err)
	}
	if err := peer.CheckTokenizer(ctx, "abc", []int32{97, 98}); err == nil || !strings.Contains(err.Error(), "runs another model") {
		t.Errorf("another tokenizer: %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := peer.complete(cancelled, []int32{1}, 8); err == nil {
		t.Error("no error after a cancellation")
	}
}
