package kvcache

// Span is a run of KV entries at the positions start, start+1, …
type Span struct {
	pool  *Pool
	start int
	n     int
	pages []*page
}

// Part is the beginning of a span: its first Len entries. A view is an ordered
// list of parts.
type Part struct {
	Span *Span
	Len  int
}

// NewSpan returns an empty span whose first entry will have position start,
// which may be negative.
func (p *Pool) NewSpan(start int) *Span { return &Span{pool: p, start: start} }

// Len returns the number of entries.
func (s *Span) Len() int { return s.n }

// Start returns the position of the first entry.
func (s *Span) Start() int { return s.start }

// All returns the whole span as a part.
func (s *Span) All() Part { return Part{s, s.n} }

// Prefix returns the first n entries as a part.
func (s *Span) Prefix(n int) Part { return Part{s, n} }

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
		pg, err := s.pool.take()
		if err != nil {
			s.trim()
			return err
		}
		s.pages = append(s.pages, pg)
	}
	s.n += n
	return nil
}

// ownLast makes the partial last page the span's own.
func (s *Span) ownLast() error {
	full := s.n / PageTokens
	if full == len(s.pages) || !s.pool.shared(s.pages[full]) {
		return nil
	}
	pg, err := s.pool.take()
	if err != nil {
		return err
	}
	copy(pg.data, s.pages[full].data)
	s.pool.replaced(s.pages[full])
	s.pages[full] = pg
	return nil
}

// Truncate drops all entries but the first n.
func (s *Span) Truncate(n int) {
	if n < s.n {
		s.n = n
		s.trim()
	}
}

// trim gives pages back that hold no entry.
func (s *Span) trim() {
	keep := Blocks(s.n)
	s.pool.give(s.pages[keep:])
	clear(s.pages[keep:])
	s.pages = s.pages[:keep]
}

// Fork returns a span with the same entries. It shares every page; a partial
// last one is copied by whoever extends first.
func (s *Span) Fork() *Span {
	s.pool.share(s.pages)
	return &Span{pool: s.pool, start: s.start, n: s.n, pages: append([]*page(nil), s.pages...)}
}

// Release gives all pages back; the span is empty afterwards.
func (s *Span) Release() {
	s.pool.give(s.pages)
	s.pages, s.n = nil, 0
}

// Blocks returns the number of blocks that the first n entries take.
func Blocks(n int) int { return (n + PageTokens - 1) / PageTokens }

// Block returns the keys and values [PageTokens, HeadDim] of a block of the
// span, for one layer and head. Rows past the span's end are undefined.
func (s *Span) Block(layer, head, block int) (k, v []float32) {
	sh := s.pool.shape
	size := PageTokens * sh.HeadDim
	at := (layer*sh.KVHeads + head) * 2 * size
	d := s.pages[block].data
	return d[at : at+size : at+size], d[at+size : at+2*size : at+2*size]
}

// Entry returns where the key and value [HeadDim] of entry i are stored, for one
// layer and head, to be written once.
func (s *Span) Entry(layer, head, i int) (k, v []float32) {
	k, v = s.Block(layer, head, i/PageTokens)
	hd := s.pool.shape.HeadDim
	at := i % PageTokens * hd
	return k[at : at+hd], v[at : at+hd]
}
