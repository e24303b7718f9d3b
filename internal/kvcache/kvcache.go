// Package kvcache stores keys and values as spans of pages and hands out views
// of them. It does no arithmetic.
//
// Invariants:
//   - A span is append-only: an entry is written once, when its token is
//     encoded, with its position baked into its key. Truncate only drops
//     entries from the end; nothing is moved or masked.
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

// Shape is the size of one token's keys and values.
type Shape struct {
	Layers, KVHeads, HeadDim int
	Format                   Format
}

// TokenBytes returns the bytes of one token's keys and values.
func (s Shape) TokenBytes() int {
	heads := s.Layers * s.KVHeads * 2
	values := heads * s.HeadDim
	switch s.Format {
	case F16:
		return values * 2
	case Q8:
		return values + heads*s.scales()*4
	case I16:
		return (values + heads*scaleCodes) * 2
	}
	return values * 4
}

// scales returns how many scales the key or the value of a token and head has.
func (s Shape) scales() int { return (s.HeadDim + ScaleElements - 1) / ScaleElements }

// page holds the KV of PageTokens tokens: for each layer and head the keys
// [HeadDim, PageTokens], then the values [PageTokens, HeadDim]. Keys lie across,
// so that scores are sums of their rows as outputs are sums of the values' rows:
// neither folds the lanes of a vector. Codes of Q8 lie likewise; their scales lie
// across for both, [HeadDim/32, PageTokens]. I16 has codes as its products read them
// (kernel.KeyInt16, kernel.ValueInt16), and behind either the bits of their scales,
// [PageTokens], which a read of the codes so brings to the cache. The pool's format says
// which are used.
type page struct {
	full   []float32
	half   []uint16
	codes  []int8
	pairs  []int16
	scales []float32
	refs   int
}

// scaleCodes is how many codes take the place of a scale.
const scaleCodes = 2

func newPage(s Shape) *page {
	heads := s.Layers * s.KVHeads * 2 * PageTokens
	n := heads * s.HeadDim
	switch s.Format {
	case F16:
		return &page{half: make([]uint16, n)}
	case Q8:
		return &page{codes: make([]int8, n), scales: make([]float32, heads*s.scales())}
	case I16:
		return &page{pairs: make([]int16, n+heads*scaleCodes)}
	}
	return &page{full: make([]float32, n)}
}

func (p *page) copyFrom(q *page) {
	copy(p.full, q.full)
	copy(p.half, q.half)
	copy(p.codes, q.codes)
	copy(p.pairs, q.pairs)
	copy(p.scales, q.scales)
}

// Pool hands out pages up to a fixed budget. It is safe for concurrent use;
// a span is not.
type Pool struct {
	shape Shape
	limit int // pages

	mu     sync.Mutex
	free   []*page
	used   int
	copies int
	peak   int
	// evict frees pages that nobody waits for; it reports whether it freed any.
	evict func() bool
}

// NewPool returns a pool of at most budget bytes. Pages are allocated when first
// needed and kept for reuse.
func NewPool(shape Shape, budget int64) (*Pool, error) {
	pageBytes := int64(shape.TokenBytes()) * PageTokens
	if pageBytes <= 0 {
		return nil, fmt.Errorf("KV cache: shape %+v has no size", shape)
	}
	limit := budget / pageBytes
	if limit < 1 {
		return nil, fmt.Errorf("KV cache: a budget of %d bytes holds no page of %d bytes (%d tokens); raise it", budget, pageBytes, PageTokens)
	}
	return &Pool{shape: shape, limit: int(limit)}, nil
}

// OnFull sets what is called, without the pool's lock, when no page is left. It
// releases something and returns true, or returns false.
func (p *Pool) OnFull(evict func() bool) { p.evict = evict }

// Shape returns the shape of the pool's pages.
func (p *Pool) Shape() Shape { return p.shape }

// Usage is a snapshot of a pool.
type Usage struct {
	Pages, Limit, Peak int // pages in use, the budget, the most ever in use
	Copies             int // pages copied by forks
}

// Usage returns how full the pool is.
func (p *Pool) Usage() Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Usage{Pages: p.used, Limit: p.limit, Peak: p.peak, Copies: p.copies}
}

func (p *Pool) take() (*page, error) {
	for {
		if pg := p.tryTake(); pg != nil {
			return pg, nil
		}
		if p.evict == nil || !p.evict() {
			return nil, fmt.Errorf("%w: its %d pages of %d tokens are in use; raise the KV budget or shorten the text", ErrFull, p.limit, PageTokens)
		}
	}
}

func (p *Pool) tryTake() *page {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used == p.limit {
		return nil
	}
	p.used++
	p.peak = max(p.peak, p.used)
	if n := len(p.free); n > 0 {
		pg := p.free[n-1]
		p.free = p.free[:n-1]
		pg.refs = 1
		return pg
	}
	pg := newPage(p.shape)
	pg.refs = 1
	return pg
}

func (p *Pool) share(pages []*page) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pg := range pages {
		pg.refs++
	}
}

func (p *Pool) give(pages []*page) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pg := range pages {
		if pg.refs--; pg.refs == 0 {
			p.used--
			p.free = append(p.free, pg)
		}
	}
}

func (p *Pool) shared(pg *page) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return pg.refs > 1
}

// replaced counts a copy of pg and drops one reference to it.
func (p *Pool) replaced(pg *page) {
	p.mu.Lock()
	p.copies++
	p.mu.Unlock()
	p.give([]*page{pg})
}
