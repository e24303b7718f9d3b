package bm25

import "encoding/binary"

// cursor is a query term's list in the present segment.
type cursor struct {
	list   *postings
	weight float64       // in the query's scale
	table  [codes]uint32 // what a posting of each code adds

	docs    [postingsBlock]uint32 // the block that probe decoded last
	n       int
	block   block
	decoded int // its number, or -1
}

// denseLimit is the size of segment up to which adding up every posting is
// faster than finding out which ones matter (docs/retrieval.md has the figures).
const denseLimit = 1 << 18

// searchSegment scores one segment and keeps its best passages.
func (s *searcher) searchSegment(i int, seg *segment) error {
	s.cursors = s.cursors[:0]
	for j := range s.words {
		w := &s.words[j]
		l := &s.lists[w.lists+i]
		if l.blocks == 0 {
			continue
		}
		if len(s.cursors) == cap(s.cursors) {
			s.cursors = append(s.cursors, cursor{})
		} else {
			s.cursors = s.cursors[:len(s.cursors)+1]
		}
		c := &s.cursors[len(s.cursors)-1]
		c.list, c.weight, c.decoded = l, float64(w.weight)*s.scale, -1
		for code, unit := range &seg.units {
			c.table[code] = fixed(c.weight, unit)
		}
	}
	if len(s.cursors) == 0 {
		return nil
	}
	if seg.docs <= s.index.denseLimit {
		return s.exhaustive(i, seg)
	}
	return s.maxScore(i, seg)
}

// exhaustive adds up every posting in an accumulator a passage: for the lists of
// small segments nothing is faster.
func (s *searcher) exhaustive(i int, seg *segment) error {
	if cap(s.acc) < int(seg.docs) {
		s.acc = make([]uint32, seg.docs)
	}
	acc := s.acc[:seg.docs]
	clear(acc)
	for j := range s.cursors {
		c := &s.cursors[j]
		for n := range c.list.blocks {
			b, err := c.list.block(n)
			if err != nil {
				return err
			}
			if err := s.addBlock(acc, 0, c, n, &b, true); err != nil {
				return err
			}
		}
		s.stats.Decoded += c.list.df
	}
	return s.collect(acc, s.index.bases[i], seg)
}

// addBlock adds what block n's postings score to acc, whose first passage is lo.
// Passages outside acc are passed over, unless the block must be whole in it.
func (s *searcher) addBlock(acc []uint32, lo uint32, c *cursor, n int, b *block, whole bool) error {
	doc, table, codes := b.prev-lo, &c.table, b.codes
	outside := false
	switch b.width {
	case 1:
		for i, d := range b.deltas[:len(codes)] {
			if doc += uint32(d); int(doc) >= len(acc) {
				outside = true
				continue
			}
			acc[doc] += table[codes[i]]
		}
	case 2:
		deltas := b.deltas[:2*len(codes)]
		for i, code := range codes {
			if doc += uint32(binary.LittleEndian.Uint16(deltas[2*i:])); int(doc) >= len(acc) {
				outside = true
				continue
			}
			acc[doc] += table[code]
		}
	default:
		for i, code := range codes {
			d := b.deltas[i*b.width : (i+1)*b.width]
			delta := uint32(d[0]) | uint32(d[1])<<8 | uint32(d[2])<<16
			if len(d) == 4 {
				delta |= uint32(d[3]) << 24
			}
			if doc += delta; int(doc) >= len(acc) {
				outside = true
				continue
			}
			acc[doc] += table[code]
		}
	}
	if outside && whole {
		return c.list.damaged(n)
	}
	if len(b.escaped) > 0 {
		return s.addEscaped(acc, lo, c, n, b)
	}
	return nil
}

// addEscaped adds the postings of a block whose pairs have no code.
func (s *searcher) addEscaped(acc []uint32, lo uint32, c *cursor, n int, b *block) error {
	var docs [postingsBlock]uint32
	for i, doc := range b.decodeDocs(docs[:0]) {
		if b.codes[i] != 0 {
			continue
		}
		add, err := s.escaped(c, n, b, doc)
		if err != nil {
			return err
		}
		if at := doc - lo; int(at) < len(acc) {
			acc[at] += add
		}
	}
	return nil
}

// collect offers the passages of acc to the best so far.
func (s *searcher) collect(acc []uint32, base uint32, seg *segment) error {
	worst := s.top.worst().score()
	for i := 0; i < len(acc); i += stride {
		if i += skipBelow(acc[i:], worst+1); i >= len(acc) {
			return nil
		}
		for j, score := range acc[i:min(i+stride, len(acc))] {
			if score > worst && s.wanted(seg, uint32(i+j)) {
				if err := s.offer(newHit(score, base+uint32(i+j))); err != nil {
					return err
				}
				worst = s.top.worst().score()
			}
		}
	}
	return nil
}

// offer takes a hit, which exceeds the worst, among the best, unless a passage of
// the same content is there already. Alike passages have equal scores, and the
// first of them in the index is shown: which does not depend on the order in which
// they are found. Each document keeps its own, so that none is lost with another.
func (s *searcher) offer(h hit) error {
	for i, other := range s.top.heap {
		if other.score() != h.score() {
			continue
		}
		alike, err := s.index.alike(other.doc(), h.doc())
		if err != nil {
			return err
		}
		if alike {
			if h > other {
				s.top.replace(i, h)
			}
			return nil
		}
	}
	s.top.add(h)
	return nil
}
