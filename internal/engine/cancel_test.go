package engine

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/flashback-lm/flashback/internal/placement"
)

// TestCancelledWithinAForward: whoever loses interest, while a prompt is read or text is
// written, ends with the chunk under way, and no page of the text is held any more.
func TestCancelledWithinAForward(t *testing.T) {
	for name, c := range map[string]struct{ prompt, chunks int }{"prefill": {1500, 3}, "decode": {5, 20}} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				e := newTiny(t, Options{BatchTokens: 32})
				s := e.NewSequence()
				if err := s.Append(make([]int32, c.prompt)...); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(context.Background())
				ended := make(chan error)
				go func() {
					_, err := s.Continue(ctx, placement.None, nil, 1800-c.prompt, pickGreedy, nil)
					ended <- err
				}()
				for e.batch.progress() < c.chunks {
					runtime.Gosched()
				}
				cancel()
				before := e.batch.progress()
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				if ran := e.batch.progress() - before; ran > 1 {
					t.Errorf("%d chunks ran to their end after it was cancelled, more than the one under way", ran)
				}
				s.Close()
				if u := e.KV(); u.Pages != u.Kept {
					t.Errorf("%d pages are held", u.Pages-u.Kept)
				}
			}
		})
	}
}
