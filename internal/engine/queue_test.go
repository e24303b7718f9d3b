package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/placement"
)

// newFull returns an engine with so many pages, and what begins a sequence of so many
// tokens and returns it with the error of its first token.
func newFull(t *testing.T, pages int) (*Engine, func(ctx context.Context, tokens int) (*Sequence, error)) {
	t.Helper()
	e := newTiny(t, Options{})
	bytes := int64(e.KVTokenBytes() * kvcache.PageTokens)
	e = newTiny(t, Options{KVBudget: int64(pages) * bytes})
	return e, func(ctx context.Context, tokens int) (*Sequence, error) {
		s := e.NewSequence()
		t.Cleanup(s.Close)
		if err := s.Append(make([]int32, tokens)...); err != nil {
			return s, err
		}
		_, err := s.Continue(ctx, placement.None, nil, 1, pickGreedy, nil)
		return s, err
	}
}

func TestWhatNeverFitsIsRefusedAtOnce(t *testing.T) {
	_, begin := newFull(t, 4)
	start := time.Now()
	if _, err := begin(context.Background(), 4*32+1); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	if took := time.Since(start); took >= patience {
		t.Errorf("it took %v", took)
	}
	if _, err := begin(context.Background(), 4*32); err != nil {
		t.Errorf("what just fits: %v", err)
	}
}

// TestPagesAreWaitedFor: a sequence that finds no page goes on when another one ends.
func TestPagesAreWaitedFor(t *testing.T) {
	e, begin := newFull(t, 4)
	first, err := begin(context.Background(), 3*32)
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error)
	go func() {
		_, err := begin(context.Background(), 2*32)
		second <- err
	}()
	for waiting := 0; waiting == 0; {
		e.queue.mu.Lock()
		waiting = len(e.queue.waiting)
		e.queue.mu.Unlock()
	}
	first.Close()
	if err := <-second; err != nil {
		t.Error(err)
	}
}

// TestFewerPagesThanNeeded: a sequence that finds some of the pages that it needs waits for
// the others as one that finds none, and gives up as it does.
func TestFewerPagesThanNeeded(t *testing.T) {
	e, begin := newFull(t, 4)
	if _, err := begin(context.Background(), 3*32); err != nil {
		t.Fatal(err)
	}
	if _, err := begin(context.Background(), 2*32); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	if used := e.KV().Pages; used != 3 {
		t.Errorf("%d pages are in use, want 3", used)
	}
}

// TestLastWaiterGivesUp: where everybody waits for pages, the one that came last
// fails, and what it gives back serves the other.
func TestLastWaiterGivesUp(t *testing.T) {
	e, begin := newFull(t, 4)
	first, err := begin(context.Background(), 2*32)
	if err != nil {
		t.Fatal(err)
	}
	second, err := begin(context.Background(), 2*32)
	if err != nil {
		t.Fatal(err)
	}
	earlier := make(chan error)
	go func() {
		_, err := first.Continue(context.Background(), placement.None, nil, 3, pickGreedy, nil)
		earlier <- err
	}()
	for waiting := 0; waiting == 0; {
		e.queue.mu.Lock()
		waiting = len(e.queue.waiting)
		e.queue.mu.Unlock()
	}
	if _, err := second.Continue(context.Background(), placement.None, nil, 3, pickGreedy, nil); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	second.Close()
	if err := <-earlier; err != nil {
		t.Error(err)
	}
}

func TestWaitingForPagesIsCancelled(t *testing.T) {
	_, begin := newFull(t, 4)
	if _, err := begin(context.Background(), 4*32); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := begin(ctx, 32); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}
