package kvcache

import "slices"

// Span is a run of KV entries at the positions start, start+1, …
type Span struct {
	pool  *Pool
	start int
	n     int
	pages []int32 // none where it was forgotten
	gone  int     // pages at the front that were forgotten
}

// Part is the beginning of a span: its first Len entries. A view is an ordered
// list of parts.
type Part struct {
	Span *Span
	Len  int
	// Whole says that a row sees the part whatever its attention's window is.
	Whole bool
}

// NewSpan returns an empty span whose first entry will have position start,
// which may be negative.
func (p *Pool) NewSpan(start int) *Span { return &Span{pool: p, start: start} }

// Len returns the number of entries.
func (s *Span) Len() int { return s.n }

// Pages returns the pages of the span's blocks, in order; -1 where it was forgotten.
// They are to be read only, and until the span is next changed.
func (s *Span) Pages() []int32 { return s.pages }

// Start returns the position of the first entry.
func (s *Span) Start() int { return s.start }

// All returns the whole span as a part.
func (s *Span) All() Part { return s.Prefix(s.n) }

// Prefix returns the first n entries as a part.
func (s *Span) Prefix(n int) Part { return Part{Span: s, Len: n} }

// Extend adds room for n entries, which the caller then writes. A partial last
// page that a fork shares is copied first. On an error (ErrFull) the span is as
// before.
func (s *Span) Extend(n int) error {
	if n <= 0 {
		return nil
	}
	if err := s.ownLast(); err != nil {
		return err
	}
	for len(s.pages)*PageTokens < s.n+n {
		page, err := s.pool.take()
		if err != nil {
			s.trim()
			return err
		}
		s.pages = append(s.pages, page)
	}
	s.n += n
	return nil
}

// Needs returns how many pages Extend takes for n entries.
func (s *Span) Needs(n int) int {
	if n <= 0 {
		return 0
	}
	pages := Blocks(s.n+n) - len(s.pages)
	if s.sharesLast() {
		pages++
	}
	return pages
}

// sharesLast reports whether the last page is partial and not the span's own.
func (s *Span) sharesLast() bool {
	full := s.n / PageTokens
	return full < len(s.pages) && s.pool.shared(s.pages[full])
}

// ownLast makes the partial last page the span's own.
func (s *Span) ownLast() error {
	if !s.sharesLast() {
		return nil
	}
	full := s.n / PageTokens
	page, err := s.pool.copied(s.pages[full])
	if err == nil {
		s.pages[full] = page
	}
	return err
}

// Truncate drops all entries but the first n, and those too where some of their pages
// were forgotten: what follows must then be encoded from the start.
func (s *Span) Truncate(n int) {
	if n < s.n {
		if n < s.gone*PageTokens {
			n = 0
		}
		s.n = n
		s.trim()
	}
}

// trim gives pages back that hold no entry.
func (s *Span) trim() {
	keep := Blocks(s.n)
	s.pool.give(s.pages[max(keep, s.gone):]...)
	s.pages, s.gone = s.pages[:keep], min(s.gone, keep)
}

// Forget gives the pages back that hold none but the first n entries, which no row
// may see any more: those in front of every window. The others stay where they are.
func (s *Span) Forget(n int) {
	if to := min(n, s.n) / PageTokens; to > s.gone {
		s.pool.give(s.pages[s.gone:to]...)
		for i := s.gone; i < to; i++ {
			s.pages[i] = none
		}
		s.gone = to
	}
}

// Fork returns a span with the same entries. It shares every page; a partial
// last one is copied by whoever extends first.
func (s *Span) Fork() *Span {
	s.pool.share(s.pages[s.gone:])
	return &Span{pool: s.pool, start: s.start, n: s.n, pages: slices.Clone(s.pages), gone: s.gone}
}

// Whole reports whether none of the span was forgotten.
func (s *Span) Whole() bool { return s.gone == 0 }

// Page returns the ith page of the span, which is full, as a span that shares it.
func (s *Span) Page(i int) *Span {
	pages := s.pages[i : i+1 : i+1]
	s.pool.share(pages)
	return &Span{pool: s.pool, start: s.start + i*PageTokens, n: PageTokens, pages: slices.Clone(pages)}
}

// Share appends the entries of another span of whole pages, at the end of a page, and
// shares these.
func (s *Span) Share(o *Span) {
	s.pool.share(o.pages)
	s.pages = append(s.pages, o.pages...)
	s.n += o.n
}

// Alone reports whether no other span has a page of this one.
func (s *Span) Alone() bool {
	return !slices.ContainsFunc(s.pages[s.gone:], s.pool.shared)
}

// Release gives all pages back; the span is empty afterwards.
func (s *Span) Release() {
	s.pool.give(s.pages[s.gone:]...)
	s.pages, s.n, s.gone = nil, 0, 0
}

// Blocks returns the number of blocks that the first n entries take.
func Blocks(n int) int { return (n + PageTokens - 1) / PageTokens }
