package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/lm"
)

// ErrFull says that keys and values do not fit the KV budget: not beside what other
// sequences keep, though they were waited for, or not even alone.
var ErrFull = kvcache.ErrFull

// ErrTooLong says that a text, with what a stride puts beside it, takes more positions
// than the model has.
var ErrTooLong = lm.ErrTooLong

// queue holds the sequences that wait for pages of the KV cache, in order of their
// coming.
type queue struct {
	mu      sync.Mutex
	waiting []*forward
	left    int // how many have ceased to wait
}

// patience is how long a sequence waits for pages while nothing is computed that
// could end in some being given back.
const patience = time.Second

// reserve makes room for f's tokens in its spans. What is kept for nobody gives way
// first (see Engine.evict); then f waits for other sequences to give pages back. If
// all that could do so wait themselves, the one that came last gets ErrFull.
func (e *Engine) reserve(ctx context.Context, f *forward) error {
	err := f.extend()
	if !errors.Is(err, ErrFull) {
		return err
	}
	if need, limit := f.pages(), e.pool.Usage().Limit; need > limit {
		return fmt.Errorf("%w: the text and what stands beside it take %d pages of %d tokens and the budget has %d; raise the KV budget or shorten the text",
			ErrFull, need, kvcache.PageTokens, limit)
	}
	e.batch.done(f)
	e.queue.join(f)
	defer e.queue.leave(f)
	for {
		freed, before := e.pool.Freed(), e.progress()
		// Only where there is room for all: pages that are taken in vain and given back
		// would wake those who wait for some, f first.
		if err = e.pool.Room(f.needs()); err == nil {
			err = f.extend()
		}
		if !errors.Is(err, ErrFull) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-freed:
		case <-time.After(patience):
			if e.queue.last(f) && e.progress() == before {
				return err
			}
		}
	}
}

// progress counts what may lead to pages being given back: chunks, and sequences that
// go on or give up.
func (e *Engine) progress() int {
	e.queue.mu.Lock()
	defer e.queue.mu.Unlock()
	return e.queue.left + e.batch.progress()
}

// pages returns how many pages the spans of f take with its tokens, with those that
// it sees.
func (f *forward) pages() int {
	entries := map[*kvcache.Span]int{}
	for _, s := range f.segments {
		entries[s.into] = max(entries[s.into], s.into.Len()) + len(s.tokens)
		for _, part := range s.view {
			entries[part.Span] = max(entries[part.Span], part.Len)
		}
	}
	pages := 0
	for _, n := range entries {
		pages += kvcache.Blocks(n)
	}
	return pages
}

func (q *queue) join(f *forward) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, f)
}

func (q *queue) leave(f *forward) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, f)
	q.waiting = slices.Delete(q.waiting, i, i+1)
	q.left++
}

// last reports whether nobody came after f.
func (q *queue) last(f *forward) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting[len(q.waiting)-1] == f
}
