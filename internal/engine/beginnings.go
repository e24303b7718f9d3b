package engine

import (
	"sync"

	"github.com/flashback-lm/flashback/internal/kvcache"
)

// beginnings keeps the contexts of sequences that have ended for those that begin
// alike: a tree of pages, each found by the tokens of all pages up to it. It holds plain
// text only, never evidence or what saw it, lives inside the KV budget, and gives up
// what was least recently used first.
type beginnings struct {
	mu    sync.Mutex
	roots map[origin]*keptPage
	clock uint64 // counts uses
}

// origin is what the KV of a text depends on besides its tokens, and who may share it.
type origin struct {
	frame   frame
	adapter string // digest of that applied to the context
	salt    string
}

// keptPage is a page of a text behind those of its parents. A root has none itself.
type keptPage struct {
	parent *keptPage
	tokens string // of the page, as bytes
	span   *kvcache.Span
	next   map[string]*keptPage
	used   uint64
}

func newBeginnings() *beginnings { return &beginnings{roots: map[origin]*keptPage{}} }

// find appends the kept pages that tokens begin with to an empty span.
func (b *beginnings) find(from origin, tokens []int32, span *kvcache.Span) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock++
	at := b.roots[from]
	for at != nil && len(tokens) >= kvcache.PageTokens {
		if at = at.next[bytesOf(tokens[:kvcache.PageTokens])]; at != nil {
			at.used = b.clock
			span.Share(at.span)
			tokens = tokens[kvcache.PageTokens:]
		}
	}
}

// keep keeps the full pages of a span whose entries are those of the tokens.
func (b *beginnings) keep(from origin, tokens []int32, span *kvcache.Span) {
	full := span.Len() / kvcache.PageTokens
	if full == 0 || !span.Whole() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock++
	at := b.roots[from]
	if at == nil {
		at = &keptPage{next: map[string]*keptPage{}}
		b.roots[from] = at
	}
	for i := range full {
		key := bytesOf(tokens[i*kvcache.PageTokens : (i+1)*kvcache.PageTokens])
		next := at.next[key]
		if next == nil {
			next = &keptPage{parent: at, tokens: key, span: span.Page(i), next: map[string]*keptPage{}}
			at.next[key] = next
		}
		next.used = b.clock
		at = next
	}
}

// idle returns how many pages no sequence has.
func (b *beginnings) idle() (pages int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, root := range b.roots {
		pages += root.idle()
	}
	return pages
}

// idle returns how many of the pages behind p no sequence has.
func (p *keptPage) idle() (pages int) {
	for _, next := range p.next {
		pages += next.idle()
		if next.span.Alone() {
			pages++
		}
	}
	return pages
}

// evict gives up the least recently used page that no sequence reads and that none
// follows; it reports whether there was one.
func (b *beginnings) evict() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	var oldest *keptPage
	for _, root := range b.roots {
		oldest = root.oldest(oldest)
	}
	if oldest == nil {
		return false
	}
	oldest.span.Release()
	delete(oldest.parent.next, oldest.tokens)
	return true
}

// oldest returns the oldest of the evictable pages behind p and the given one.
func (p *keptPage) oldest(than *keptPage) *keptPage {
	for _, next := range p.next {
		than = next.oldest(than)
	}
	if p.span != nil && len(p.next) == 0 && (than == nil || p.used < than.used) && p.span.Alone() {
		return p
	}
	return than
}

// evict makes room in the KV cache: kept evidence that no stride reads goes first,
// then beginnings that no sequence has, then what sequences may go on reading.
func (e *Engine) evict() bool { return e.kept.evict() || e.beginnings.evict() || e.readings.evict() }

// SetSalt keeps the KV of the text and of its evidence from sequences with another salt: none of
// them finds it, or can tell by the time that it takes whether it is there. The default is "".
func (s *Sequence) SetSalt(salt string) { s.salt = salt }

// origin returns what the KV of the text depends on.
func (s *Sequence) origin() origin {
	return origin{s.frame, digestOf(s.adapterOf(s.context)), s.salt}
}

// begin takes the KV of up to n tokens over from sequences that began alike, if
// nothing is encoded yet.
func (s *Sequence) begin(n int) {
	if s.e.beginnings == nil || s.context.Len() > 0 || n < kvcache.PageTokens {
		return
	}
	s.e.beginnings.find(s.origin(), s.tokens[:n], s.context)
	found := min(s.context.Len(), s.fresh)
	s.fresh -= found
	s.counts.PromptReused += found
}

// DropKept gives up all that is kept for reuse and that no sequence reads.
func (e *Engine) DropKept() {
	for e.evict() {
	}
}
