package bm25

import (
	"cmp"
	"slices"
)

// defaultWindow is how many passages are scored together: their sums stay in the
// second-level cache, and few blocks lie in two windows.
const defaultWindow = 1 << 15

// bounds holds, for every window of a segment and every cursor, what a posting
// adds at most and where the window begins in the list.
type bounds struct {
	most  []uint32 // windows × cursors
	start []uint32 // windows × cursors: block
	order []windowBound
}

// windowBound is what no passage of a window exceeds.
type windowBound struct {
	window uint32
	bound  uint32
}

// maxScore scores a segment window by window, the most promising ones first, so
// that the score to beat is high early. In a window, the lists whose bounds
// together cannot reach that score are not essential: only passages that the
// others bring so far are looked up in them.
func (s *searcher) maxScore(i int, seg *segment) error {
	s.findBounds(seg)
	s.acc = resize(s.acc, int(s.index.window))
	n := len(s.cursors)
	for _, w := range s.bounds.order {
		if w.bound < s.top.worst().score() {
			return nil // and so are all that follow
		}
		most := s.bounds.most[int(w.window)*n:][:n]
		start := s.bounds.start[int(w.window)*n:][:n]
		if err := s.scoreWindow(i, seg, w.window*s.index.window, most, start); err != nil {
			return err
		}
	}
	return nil
}

// findBounds fills s.bounds.
func (s *searcher) findBounds(seg *segment) {
	n, b, window := len(s.cursors), &s.bounds, s.index.window
	windows := int((seg.docs + window - 1) / window)
	b.most = resize(b.most, windows*n)
	b.start = resize(b.start, windows*n)
	clear(b.most)
	for j := range s.cursors {
		c := &s.cursors[j]
		next := uint32(0) // the first window whose start is not known
		from := uint32(0) // the block's first window
		for i := range c.list.blocks {
			last := min(c.list.lastDoc(i)/window, uint32(windows-1))
			for ; next <= last; next++ {
				b.start[int(next)*n+j] = uint32(i)
			}
			tf, length := c.list.bound(i)
			most := fixed(c.weight, s.index.blockUnits[min(tf, boundTFs-1)][length]) + 1
			for w := from; w <= last; w++ {
				at := int(w)*n + j
				b.most[at] = max(b.most[at], most)
			}
			from = last
		}
		for ; next < uint32(windows); next++ {
			b.start[int(next)*n+j] = uint32(c.list.blocks)
		}
	}
	b.order = b.order[:0]
	for w := range windows {
		sum := uint32(0)
		for _, most := range b.most[w*n : (w+1)*n] {
			sum += most
		}
		if sum > 0 {
			b.order = append(b.order, windowBound{uint32(w), sum})
		}
	}
	slices.SortFunc(b.order, func(a, b windowBound) int {
		if c := cmp.Compare(b.bound, a.bound); c != 0 {
			return c
		}
		return cmp.Compare(a.window, b.window)
	})
}

func resize(s []uint32, n int) []uint32 {
	if cap(s) < n {
		return make([]uint32, n)
	}
	return s[:n]
}

// scoreWindow scores the passages of one window. The cursors stand from the
// rarest term to the most frequent.
func (s *searcher) scoreWindow(i int, seg *segment, lo uint32, most, start []uint32) error {
	acc := s.acc[:min(s.index.window, seg.docs-lo)]
	clear(acc)
	worst := s.top.worst().score()
	// The most frequent lists are not essential while their bounds, whose sum is
	// rest, stay below half of the score to beat. They could stay below all of it,
	// but then so many passages are alive that following them costs more.
	essential, rest := len(s.cursors), uint32(0)
	for essential > 0 && rest+most[essential-1] < worst/2 {
		essential--
		rest += most[essential]
	}
	for j := range essential {
		if err := s.addWindow(acc, lo, &s.cursors[j], start[j]); err != nil {
			return err
		}
	}
	s.alive = appendAtLeast(s.alive[:0], acc, max(worst-rest, 1))
	for j := essential; j < len(s.cursors) && len(s.alive) > 0; j++ {
		if most[j] > 0 {
			if err := s.addAlive(acc, lo, &s.cursors[j], start[j]); err != nil {
				return err
			}
		}
		rest -= most[j]
		alive := s.alive[:0]
		for _, d := range s.alive {
			if acc[d]+rest >= worst {
				alive = append(alive, d)
			}
		}
		s.alive = alive
	}
	for _, d := range s.alive {
		h := newHit(acc[d], s.index.bases[i]+lo+d)
		if h > s.top.worst() && s.wanted(seg, lo+d) {
			if err := s.offer(h); err != nil {
				return err
			}
		}
	}
	return nil
}

// appendAtLeast appends the places in acc of sums of at least need.
func appendAtLeast(dst, acc []uint32, need uint32) []uint32 {
	for i := 0; i < len(acc); i += stride {
		if i += skipBelow(acc[i:], need); i >= len(acc) {
			break
		}
		for j, score := range acc[i:min(i+stride, len(acc))] {
			if score >= need {
				dst = append(dst, uint32(i+j))
			}
		}
	}
	return dst
}

// addWindow adds what all postings of a list in the window at lo score.
func (s *searcher) addWindow(acc []uint32, lo uint32, c *cursor, start uint32) error {
	hi := lo + uint32(len(acc))
	for n := int(start); n < c.list.blocks; n++ {
		b, err := c.list.block(n)
		if err != nil {
			return err
		}
		s.stats.Decoded += uint64(len(b.codes))
		last := c.list.lastDoc(n)
		if err := s.addBlock(acc, lo, c, n, &b, b.prev+1 >= lo && last < hi); err != nil {
			return err
		}
		if last >= hi-1 {
			return nil
		}
	}
	return nil
}

// escaped is what the next escaped posting of b, doc's, scores.
func (s *searcher) escaped(c *cursor, n int, b *block, doc uint32) (uint32, error) {
	if doc >= c.list.seg.docs {
		return 0, c.list.damaged(n)
	}
	p, err := c.list.escape(n, b, doc)
	return fixed(c.weight, s.index.similarity.unit(p.tf, p.length)), err
}

// addAlive adds what a list scores for the passages that are alive: by looking
// them up where they are few for the window's postings, else by adding all.
func (s *searcher) addAlive(acc []uint32, lo uint32, c *cursor, start uint32) error {
	const lookup = 64 // postings that can be added in the time of a look-up
	n := int(start)
	last := lo + s.alive[len(s.alive)-1]
	end := n
	for end < c.list.blocks-1 && c.list.lastDoc(end) < last {
		end++
	}
	if len(s.alive)*lookup > (end-n+1)*postingsBlock {
		return s.addWindow(acc, lo, c, start)
	}
	for _, d := range s.alive {
		doc := lo + d
		for n < c.list.blocks && c.list.lastDoc(n) < doc {
			n++
		}
		if n == c.list.blocks {
			return nil
		}
		add, err := s.probe(c, n, doc)
		if err != nil {
			return err
		}
		acc[d] += add
	}
	return nil
}

// probe is what block n scores for a passage; 0 where it lacks the passage.
func (s *searcher) probe(c *cursor, n int, doc uint32) (uint32, error) {
	if c.decoded != n {
		b, err := c.list.block(n)
		if err != nil {
			return 0, err
		}
		c.block, c.n, c.decoded = b, len(b.decodeDocs(c.docs[:0])), n
		s.stats.Decoded += uint64(c.n)
	}
	docs := c.docs[:c.n]
	at, found := slices.BinarySearch(docs, doc)
	if !found {
		return 0, nil
	}
	if code := c.block.codes[at]; code != 0 {
		return c.table[code], nil
	}
	b := c.block
	for k := range at { // the escaped frequencies before it
		if b.codes[k] == 0 {
			if _, err := c.list.escape(n, &b, min(docs[k], c.list.seg.docs-1)); err != nil {
				return 0, err
			}
		}
	}
	return s.escaped(c, n, &b, doc)
}
