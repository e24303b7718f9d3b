// Package kvcache keeps account of keys and values as spans of pages and hands out
// views of them. A page is a number here; what it holds is in the storage of a device.
//
// Invariants:
//   - A span is append-only: an entry is written once, when its token is
//     encoded, with its position baked into its key. Truncate only drops
//     entries from the end; nothing is moved or masked. Forget gives whole pages at
//     the front back, and the other entries keep their places.
//   - A page that forks share is read-only. A fork copies at most one page, the
//     partial last one, and only when one of the sharers extends.
//   - Every page is either free or referenced; the pool never holds more than
//     its budget.
package kvcache

import (
	"errors"
	"fmt"
	"sync"
)

// PageTokens is how many tokens a page holds. It is also the block of the
// attention: blocks are counted from the start of a span, so results do not
// depend on who shares a page.
const PageTokens = 32

// ErrFull says that the budget has no page left.
var ErrFull = errors.New("KV cache is full")

// Storage holds what pages hold, in a layout of its own: a device makes it. Pages are
// numbers from 0 on.
type Storage interface {
	// Shape returns the size and the format of one token's keys and values.
	Shape() Shape
	// Pages returns how many pages there are at most.
	Pages() int
	// Allocate is called before a page is used for the first time.
	Allocate(page int)
	// Copy makes page to hold what page from does.
	Copy(to, from int)
}

// Pool hands out pages up to a fixed budget. It is safe for concurrent use;
// a span is not.
type Pool struct {
	storage Storage

	mu     sync.Mutex
	refs   []int32 // of each page that was ever used
	free   []int32 // of those, the pages that nobody refers to
	used   int
	copies int
	peak   int
	freed  chan struct{} // see Freed; nil: nobody asked
	// evict frees pages that nobody waits for; it reports whether it freed any.
	evict func() bool
}

// NewPool returns a pool of the storage's pages.
func NewPool(s Storage) *Pool { return &Pool{storage: s} }

// OnFull sets what is called, without the pool's lock, when no page is left. It
// releases something and returns true, or returns false.
func (p *Pool) OnFull(evict func() bool) { p.evict = evict }

// Storage returns where what the pool's pages hold is stored.
func (p *Pool) Storage() Storage { return p.storage }

// Shape returns the size and the format of one token's keys and values.
func (p *Pool) Shape() Shape { return p.storage.Shape() }

// Usage is a snapshot of a pool.
type Usage struct {
	Pages, Limit, Peak int // pages in use, the budget, the most ever in use
	Copies             int // pages copied by forks
	// Kept are those in use that nobody reads: they give way as soon as others need them.
	// The pool does not know: who keeps them counts them.
	Kept int
}

// Usage returns how full the pool is.
func (p *Pool) Usage() Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Usage{Pages: p.used, Limit: p.storage.Pages(), Peak: p.peak, Copies: p.copies}
}

func (p *Pool) take() (int32, error) {
	for {
		if page := p.tryTake(); page != none {
			return page, nil
		}
		if err := p.release(); err != nil {
			return none, err
		}
	}
}

// Room sees to it that n pages are free, of which others may take some before the caller
// does. The error is ErrFull.
func (p *Pool) Room(n int) error {
	for p.unused() < n {
		if err := p.release(); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pool) unused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.storage.Pages() - p.used
}

// release gives up something that nobody needs, or returns ErrFull.
func (p *Pool) release() error {
	if p.evict != nil && p.evict() {
		return nil
	}
	return fmt.Errorf("%w: its %d pages of %d tokens are in use; raise the KV budget or shorten the text", ErrFull, p.storage.Pages(), PageTokens)
}

// none is no page.
const none = -1

func (p *Pool) tryTake() int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used == p.storage.Pages() {
		return none
	}
	p.used++
	p.peak = max(p.peak, p.used)
	if n := len(p.free); n > 0 {
		page := p.free[n-1]
		p.free = p.free[:n-1]
		p.refs[page] = 1
		return page
	}
	page := len(p.refs)
	p.storage.Allocate(page)
	p.refs = append(p.refs, 1)
	return int32(page)
}

func (p *Pool) share(pages []int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, page := range pages {
		p.refs[page]++
	}
}

func (p *Pool) give(pages ...int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, page := range pages {
		if p.refs[page]--; p.refs[page] == 0 {
			p.used--
			p.free = append(p.free, page)
		}
	}
	if len(pages) > 0 {
		p.wake()
	}
}

// Idle says that nobody reads something any more that OnFull's function may release.
func (p *Pool) Idle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wake()
}

// wake tells who waits for pages to look again.
func (p *Pool) wake() {
	if p.freed != nil {
		close(p.freed)
		p.freed = nil
	}
}

// Freed returns a channel that is closed when next there may be more room: a page was
// given back by one of those that have it, or something is idle.
func (p *Pool) Freed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.freed == nil {
		p.freed = make(chan struct{})
	}
	return p.freed
}

func (p *Pool) shared(page int32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refs[page] > 1
}

// copied returns a page that holds what another one does, and drops a reference to
// that.
func (p *Pool) copied(page int32) (int32, error) {
	own, err := p.take()
	if err != nil {
		return none, err
	}
	p.storage.Copy(int(own), int(page))
	p.mu.Lock()
	p.copies++
	p.mu.Unlock()
	p.give(page)
	return own, nil
}
