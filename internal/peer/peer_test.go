package peer_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/peer"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/sample"
)

func evidence(tokens ...int32) []lm.Evidence { return []lm.Evidence{{Tokens: tokens, Weight: 1}} }

// TestPlacementsAreTheTokensSent sends each placement to each kind and looks at the prompt,
// at what was written and at the counts that the peer's cache gives.
func TestPlacementsAreTheTokensSent(t *testing.T) {
	echo, err := placement.Append.WithEcho(2)
	if err != nil {
		t.Fatal(err)
	}
	inside := placement.Prepend
	inside.At = 2
	for _, kind := range peer.Kinds() {
		for name, c := range map[string]struct {
			p      placement.Placement
			prompt []int32
		}{
			"none":    {placement.None, []int32{10, 11, 12, 20}},
			"prepend": {placement.Prepend, []int32{100, 101, 102, 10, 11, 12, 20}},
			"inside":  {inside, []int32{10, 11, 100, 101, 102, 12, 20}},
			"append":  {placement.Append, []int32{10, 11, 12, 20, 100, 101, 102}},
			"echo":    {echo, []int32{10, 11, 12, 20, 100, 101, 102, 12, 20}},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				s := &server{kind: kind}
				q := s.dial(t).NewSequence()
				if err := q.Append(10, 11, 12, 20); err != nil {
					t.Fatal(err)
				}
				got, err := q.Continue(t.Context(), c.p, evidence(100, 101, 102), 3, sample.Greedy(), nil)
				last := c.prompt[len(c.prompt)-1]
				if want := []int32{last + 1, last + 2, last + 3}; err != nil || !slices.Equal(got, want) {
					t.Fatalf("wrote %v, %v, want %v", got, err, want)
				}
				field := map[string]string{"llamacpp": "prompt", "vllm": "prompt", "sglang": "input_ids"}[kind]
				if sent := ids(s.asked()[0][field]); !slices.Equal(sent, c.prompt) {
					t.Errorf("sent %v, want %v", sent, c.prompt)
				}
				if want := append([]int32{10, 11, 12, 20}, got...); !slices.Equal(q.Tokens(), want) {
					t.Errorf("keeps %v, want %v", q.Tokens(), want)
				}
			})
		}
	}
}

// TestStridesCostWhatTheTableSays holds what a peer with a prefix cache tells to the
// columns of the placement table.
func TestStridesCostWhatTheTableSays(t *testing.T) {
	for _, kind := range peer.Kinds() {
		t.Run(kind, func(t *testing.T) {
			q := (&server{kind: kind}).dial(t).NewSequence()
			if err := q.Append(bytes{}.Encode("a text of twenty-six bytes")...); err != nil {
				t.Fatal(err)
			}
			stride := func(ev ...int32) lm.Counts {
				before := q.Counts()
				if _, err := q.Continue(t.Context(), placement.Append, evidence(ev...), 4, sample.Greedy(), nil); err != nil {
					t.Fatal(err)
				}
				return q.Counts().Sub(before)
			}
			if got, want := stride(1, 2, 3), (lm.Counts{Prompt: 26, Prefilled: 3, Decoded: 3, Evidence: 3}); got != want {
				t.Errorf("the first stride took %+v, want %+v", got, want)
			}
			if got, want := stride(7, 8, 9), (lm.Counts{Prefilled: 4 + 3, Decoded: 3, Reused: 26, Evidence: 3}); got != want {
				t.Errorf("the second stride took %+v, want %+v", got, want)
			}
			again := q.Fork() // of a text that the peer knows, as another request would bring it
			again.Truncate(0)
			if err := again.Append(q.Tokens()[:26]...); err != nil {
				t.Fatal(err)
			}
			before := again.Counts()
			if _, err := again.Continue(t.Context(), placement.Append, evidence(7, 8, 9), 4, sample.Greedy(), nil); err != nil {
				t.Fatal(err)
			}
			if got, want := again.Counts().Sub(before), (lm.Counts{PromptReused: 26, Prefilled: 3, Decoded: 3, Evidence: 3}); got != want {
				t.Errorf("the text that was there took %+v, want %+v", got, want)
			}
		})
	}
}

// TestQuirks looks at what only one kind of server does.
func TestQuirks(t *testing.T) {
	next := func(t *testing.T, s *server, n int, o sample.Options) []int32 {
		t.Helper()
		q := s.dial(t).NewSequence()
		q.SetSalt("tenant")
		if err := q.Append(10, 11); err != nil {
			t.Fatal(err)
		}
		sampler, err := sample.New(o)
		if err != nil {
			t.Fatal(err)
		}
		got, err := q.Continue(t.Context(), placement.None, nil, n, sampler, func(token int32) bool { return token == s.ends })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.Continue(t.Context(), placement.None, nil, 1, sampler, nil); err != nil {
			t.Fatal(err)
		}
		return got
	}
	want := []int32{12, 13, 14, 15, 16}
	t.Run("llamacpp leaves out ids within a character", func(t *testing.T) {
		s := &server{kind: "llamacpp", half: 3}
		if got := next(t, s, 5, sample.Options{}); !slices.Equal(got, want) {
			t.Errorf("wrote %v, want %v", got, want)
		}
		asked := s.asked()
		if again := asked[1]; again["stream"] != false || !slices.Equal(ids(again["prompt"]), []int32{10, 11, 12, 13}) || again["n_predict"] != 3.0 {
			t.Errorf("asked again with %v", with(again, "stream", "prompt", "n_predict"))
		}
		if slot := asked[2]["id_slot"]; slot != 1.0 {
			t.Errorf("the next stride goes to slot %v, want 1", slot)
		}
	})
	t.Run("sglang repeats all ids or not", func(t *testing.T) {
		for _, incremental := range []bool{false, true} {
			if got := next(t, &server{kind: "sglang", incremental: incremental}, 5, sample.Options{}); !slices.Equal(got, want) {
				t.Errorf("incremental %t: wrote %v, want %v", incremental, got, want)
			}
		}
	})
	t.Run("sglang tells the end apart", func(t *testing.T) {
		if got := next(t, &server{kind: "sglang", ends: 14, silentEnd: true}, 5, sample.Options{}); !slices.Equal(got, want[:3]) {
			t.Errorf("wrote %v, want %v", got, want[:3])
		}
	})
	t.Run("vllm has a salt and may not tell", func(t *testing.T) {
		s := &server{kind: "vllm", noDetails: true}
		next(t, s, 5, sample.Options{Temperature: 1, TopK: 5, Seed: 7})
		got := with(s.asked()[0], "cache_salt", "return_token_ids", "temperature", "top_k", "seed", "top_p")
		if want := map[string]any{"cache_salt": "tenant", "return_token_ids": true, "temperature": 1.0, "top_k": 5.0, "seed": 9.0, "top_p": 1.0}; !reflect.DeepEqual(got, want) {
			t.Errorf("sent %v, want %v", got, want)
		}
		if (&server{kind: "vllm", noDetails: true}).dial(t).TellsCached {
			t.Error("a peer that does not tell what was cached is said to")
		}
	})
}

// TestUnsupported refuses what no prompt of tokens can say.
func TestUnsupported(t *testing.T) {
	q := (&server{kind: "vllm"}).dial(t).NewSequence()
	if err := q.Append(10, 11, 12); err != nil {
		t.Fatal(err)
	}
	penalised, err := sample.New(sample.Options{PresencePenalty: 1})
	if err != nil {
		t.Fatal(err)
	}
	two := append(evidence(1), evidence(2)...)
	for name, ask := range map[string]func() error{
		"virtual": func() error {
			_, err := q.Continue(t.Context(), placement.Virtual, evidence(1), 2, sample.Greedy(), nil)
			return err
		},
		"branches": func() error {
			_, err := q.Continue(t.Context(), placement.Append, two, 2, sample.Greedy(), nil)
			return err
		},
		"marks": func() error {
			_, err := q.Continue(t.Context(), placement.Append, evidence(256, 1), 2, sample.Greedy(), nil)
			return err
		},
		"penalty": func() error {
			_, err := q.Continue(t.Context(), placement.None, nil, 2, penalised, nil)
			return err
		},
		"token": func() error { return q.Append(256) },
	} {
		if err := ask(); !errors.Is(err, peer.ErrUnsupported) {
			t.Errorf("%s: %v, want that it is not supported", name, err)
		}
	}
	if want := []int32{10, 11, 12}; !slices.Equal(q.Tokens(), want) {
		t.Errorf("keeps %v, want %v", q.Tokens(), want)
	}
	if _, err := q.Continue(t.Context(), placement.Append, evidence(make([]int32, 508)...), 2, sample.Greedy(), nil); !errors.Is(err, lm.ErrTooLong) {
		t.Errorf("more than the peer's context: %v", err)
	}
}

// TestFaults has peers that hang, break off, lie and fail: a clear error, and what was
// written before is kept.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(*server)
		only  string // kind; "": all
		kept  int    // tokens written before the error
		says  string
	}{
		"500":             {func(s *server) { s.status = 500 }, "", 0, "out of memory"},
		"error in stream": {func(s *server) { s.inStream = `{"error":{"message":"the engine died","code":500}}` }, "", 1, "the engine died"},
		"no JSON":         {func(s *server) { s.inStream = "<html>" }, "", 1, "no JSON"},
		"hangs":           {func(s *server) { s.hang = true }, "", 1, "said nothing for too long"},
		"breaks off":      {func(s *server) { s.breakOff = true }, "", 1, "broke off"},
		"lies":            {func(s *server) { s.lie = 1000 }, "llamacpp", 0, "cached"},
		"denies":          {func(s *server) { s.lie = -1000 }, "sglang", 0, "cached"},
		"lies at the end": {func(s *server) { s.lie = 1000 }, "vllm", 4, "cached"},
		"strange token":   {func(s *server) { s.strange = 300 }, "", 1, "which it does not have"},
		"endless":         {func(s *server) { s.endless = true }, "vllm", 4, "more than"},
	} {
		for _, kind := range peer.Kinds() {
			if c.only != "" && c.only != kind {
				continue
			}
			t.Run(kind+" "+name, func(t *testing.T) {
				s := &server{kind: kind}
				e, err := peer.Dial(t.Context(), peer.Options{Kind: kind, URL: s.start(t), Silence: 200 * time.Millisecond}, bytes{})
				if err != nil {
					t.Fatal(err)
				}
				c.fault(s)
				q := e.NewSequence()
				if err := q.Append(10, 11); err != nil {
					t.Fatal(err)
				}
				got, err := q.Continue(t.Context(), placement.None, nil, 4, sample.Greedy(), nil)
				var failed *peer.Error
				if !errors.As(err, &failed) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), e.URL) {
					t.Errorf("error %v, want a peer's that says %q", err, c.says)
				}
				if len(got) != c.kept || len(q.Tokens()) != 2+c.kept {
					t.Errorf("returned %v and keeps %v, want %d tokens", got, q.Tokens(), c.kept)
				}
			})
		}
	}
	t.Run("cancelled", func(t *testing.T) {
		q := (&server{kind: "vllm", hang: true}).dial(t).NewSequence()
		if err := q.Append(10, 11); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err := q.Continue(ctx, placement.None, nil, 4, sample.Greedy(), func(int32) bool { cancel(); return false })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want that of the context", err)
		}
	})
}

// TestDialRefuses says what is wrong before anything is written.
func TestDialRefuses(t *testing.T) {
	if _, err := peer.ParseOptions("tgi=http://localhost:1"); err == nil {
		t.Error("an unknown kind is taken")
	}
	if _, err := peer.ParseOptions("vllm=localhost:8000"); err == nil {
		t.Error("an address without http is taken")
	}
	s := &server{kind: "vllm"}
	url := s.start(t)
	for name, o := range map[string]peer.Options{
		"nobody there": {Kind: "vllm", URL: "http://127.0.0.1:1"},
		"another path": {Kind: "vllm", URL: url + "/elsewhere"},
	} {
		if _, err := peer.Dial(t.Context(), o, bytes{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := peer.Dial(t.Context(), peer.Options{Kind: "llamacpp", URL: (&server{kind: "llamacpp"}).start(t)}, large{}); err == nil || !strings.Contains(err.Error(), "--model") {
		t.Errorf("a larger vocabulary on this side: %v", err)
	}
	if _, err := peer.Dial(t.Context(), peer.Options{Kind: "llamacpp", URL: (&server{kind: "llamacpp"}).start(t)}, shifted{}); err == nil || !strings.Contains(err.Error(), "another model") {
		t.Errorf("another tokenizer: %v", err)
	}
}

type large struct{ bytes }

func (large) Size() int { return 300 }

type shifted struct{ bytes }

func (shifted) Encode(text string) []int32 { return bytes{}.Encode(text + "?") }
