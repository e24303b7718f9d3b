package flashback_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
)

// library answers each query with one of its passages.
type library []string

func (l library) Retrieve(_ context.Context, q flashback.Query) ([]flashback.Passage, error) {
	at := len(q.Text) % len(l)
	return []flashback.Passage{{ID: fmt.Sprint(at), Text: l[at], Score: 1}}, nil
}

// TestConcurrentStreams reads streams of one engine side by side, with an adapter and
// without, verified and not: each must write what it writes alone.
func TestConcurrentStreams(t *testing.T) {
	w := modeltest.Tiny(1)
	e, err := flashback.Open(flashback.Options{
		Model: modeltest.WriteGGUF(t, w), Retriever: library{"what a passage says", "another", "and one more of them"}, Compute: "exact",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	trained := lora.New(lora.Config{Rank: 4, Alpha: 8, Targets: []model.Role{model.V, model.Gate}},
		lora.ShapeOf(w), 1)
	for _, layer := range trained.Layers {
		for _, f := range layer {
			if f != nil {
				for i := range f.B {
					f.B[i] = float32(i%7-3) / 10
				}
			}
		}
	}
	dir := filepath.Join(t.TempDir(), "adapter")
	if err := lora.Write(dir, trained); err != nil {
		t.Fatal(err)
	}
	adapter, err := e.LoadAdapter(dir)
	if err != nil {
		t.Fatal(err)
	}
	// stream returns the text of a request, or its error, or what verification found.
	stream := func(r flashback.Request) string {
		text := ""
		for event, err := range e.Stream(t.Context(), r) {
			if err != nil {
				return err.Error()
			}
			if token, ok := event.(flashback.Token); ok {
				text += fmt.Sprint(token.ID, " ")
			}
		}
		if r.Verify != nil {
			if report := r.Verify.Report(); report.First != nil || report.Tokens == 0 {
				return fmt.Sprintf("%d tokens verified, %v", report.Tokens, report.First)
			}
		}
		return text
	}
	var streams sync.WaitGroup
	for _, p := range flashback.Placements() {
		for _, a := range []*flashback.Adapter{nil, adapter} {
			r := flashback.Request{Prompt: "a text to go on from", Placement: p, Adapter: a, Stride: 5, MaxTokens: 15, IgnoreEOS: true}
			want := stream(r)
			for _, verify := range []*flashback.Verify{nil, {}} {
				r := r
				r.Verify = verify
				streams.Go(func() {
					if got := stream(r); got != want {
						t.Errorf("%s, adapter %v, verified %v: wrote %q beside others, alone %q", p, a != nil, verify != nil, got, want)
					}
				})
			}
		}
	}
	streams.Wait()
}
