package kvcache

import "unsafe"

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

// Format returns how entries are stored.
func (s *Span) Format() Format { return s.pool.shape.Format }

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
	pg.copyFrom(s.pages[full])
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

// Block returns the keys [HeadDim, PageTokens] and the values [PageTokens,
// HeadDim] of a block of the span, for one layer and head of a pool in f32. What
// is past the span's end is undefined.
func (s *Span) Block(layer, head, block int) (k, v []float32) {
	return pair(s.pages[block].full, s.pool.shape, layer, head, s.pool.shape.HeadDim)
}

// HalfBlock is Block for a pool in f16.
func (s *Span) HalfBlock(layer, head, block int) (k, v []uint16) {
	return pair(s.pages[block].half, s.pool.shape, layer, head, s.pool.shape.HeadDim)
}

// Coded are keys or values of a block in Q8: codes as in Block, and scales
// [HeadDim/32, PageTokens].
type Coded struct {
	Codes  []int8
	Scales []float32
}

// CodedBlock is Block for a pool in Q8.
func (s *Span) CodedBlock(layer, head, block int) (k, v Coded) {
	shape, pg := s.pool.shape, s.pages[block]
	k.Codes, v.Codes = pair(pg.codes, shape, layer, head, shape.HeadDim)
	k.Scales, v.Scales = pair(pg.scales, shape, layer, head, shape.scales())
	return k, v
}

// Paired are keys or values of a block in I16, as kernel.KeyInt16 and kernel.ValueInt16
// say, and their scales [PageTokens].
type Paired struct {
	Codes  []int16
	Scales []float32
}

// PairedBlock is Block for a pool in I16.
func (s *Span) PairedBlock(layer, head, block int) (k, v Paired) {
	shape, pg := s.pool.shape, s.pages[block]
	keys, values := pair(pg.pairs, shape, layer, head, shape.HeadDim+scaleCodes)
	return paired(keys), paired(values)
}

// paired parts codes and scales.
func paired(block []int16) Paired {
	codes := len(block) - PageTokens*scaleCodes
	return Paired{block[:codes:codes], unsafe.Slice((*float32)(unsafe.Pointer(&block[codes])), PageTokens)}
}

// Entry returns where entry i is stored, for one layer and head of a pool in f32,
// to be written once: element d of its key at k[d·PageTokens], its value
// [HeadDim] in v.
func (s *Span) Entry(layer, head, i int) (k, v []float32) {
	k, v = s.Block(layer, head, i/PageTokens)
	return k[i%PageTokens:], row(v, s.pool.shape, i)
}

// HalfEntry is Entry for a pool in f16.
func (s *Span) HalfEntry(layer, head, i int) (k, v []uint16) {
	k, v = s.HalfBlock(layer, head, i/PageTokens)
	return k[i%PageTokens:], row(v, s.pool.shape, i)
}

// CodedEntry is Entry for a pool in Q8: scale c is at Scales[c·PageTokens].
func (s *Span) CodedEntry(layer, head, i int) (k, v Coded) {
	k, v = s.CodedBlock(layer, head, i/PageTokens)
	at := i % PageTokens
	k.Codes, v.Codes = k.Codes[at:], row(v.Codes, s.pool.shape, i)
	k.Scales, v.Scales = k.Scales[at:], v.Scales[at:]
	return k, v
}

// row cuts the value of entry i out of those of its block.
func row[T any](block []T, s Shape, i int) []T {
	at := i % PageTokens * s.HeadDim
	return block[at : at+s.HeadDim]
}

// pair cuts what a layer's and head's keys and values have out of a page, width
// for each token.
func pair[T any](data []T, s Shape, layer, head, width int) (k, v []T) {
	size := PageTokens * width
	at := (layer*s.KVHeads + head) * 2 * size
	return data[at : at+size : at+size], data[at+size : at+2*size : at+2*size]
}
