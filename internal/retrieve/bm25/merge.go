package bm25

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"

	"github.com/blevesearch/vellum"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// mergeInfos merges segments that no reader has and removes them.
func mergeInfos(ctx context.Context, dir, name string, infos []segmentInfo, exact bool) (segmentInfo, error) {
	var segments []*segment
	defer func() {
		for _, s := range segments {
			s.close()
			for ext := range s.info.Files {
				os.Remove(filepath.Join(dir, s.info.Name+ext))
			}
		}
	}()
	for _, info := range infos {
		s, err := openSegment(dir, info, exact)
		if err != nil {
			return segmentInfo{}, err
		}
		s.forget()
		segments = append(segments, s)
	}
	return mergeSegments(ctx, dir, name, segments, exact)
}

// merger writes the passages of several segments, without the deleted ones, as
// one. Everything is streamed in the segments' order.
type merger struct {
	ctx      context.Context
	segments []*segment
	maps     []docMap
	table    *codeTable
	w        *segmentWriter
	resident uint64 // bytes read since the segments' memory was given back
}

// maxResident bounds what a merge keeps of the files that it reads: they are
// mapped, and would all be resident at its end.
const maxResident = 16 << 20

// hasRead notes that bytes of the segments were read and will not be again.
func (m *merger) hasRead(bytes int) {
	if m.resident += uint64(bytes); m.resident < maxResident {
		return
	}
	m.resident = 0
	for _, s := range m.segments {
		s.forget()
	}
}

func mergeSegments(ctx context.Context, dir, name string, segments []*segment, exact bool) (info segmentInfo, err error) {
	m := &merger{ctx: ctx, segments: segments}
	next := uint32(0)
	for _, s := range segments {
		d := newDocMap(s, next)
		m.maps = append(m.maps, d)
		next += d.kept
	}
	m.table = mergedTable(segments)
	m.w, err = newSegmentWriter(dir, name, exact, segments[0].stored.dict)
	if err != nil {
		return info, err
	}
	for _, step := range []func() error{m.passages, m.lengths, m.terms, m.keys} {
		if err = step(); err != nil {
			m.w.abandon()
			return info, err
		}
	}
	return m.w.info, nil
}

// docMap renumbers a segment's passages.
type docMap struct {
	base, kept uint32
	before     []uint32 // deleted passages before each 64th, or nil
	seg        *segment
}

func newDocMap(s *segment, base uint32) docMap {
	d := docMap{base: base, kept: s.docs - s.info.DeletedCount, seg: s}
	if s.deleted == nil {
		return d
	}
	n := uint32(0)
	for doc := range s.docs {
		if doc%64 == 0 {
			d.before = append(d.before, n)
		}
		if s.isDeleted(doc) {
			n++
		}
	}
	return d
}

// at returns the new number of doc, or of the next passage that is kept.
func (d *docMap) at(doc uint32) uint32 {
	if d.before == nil {
		return d.base + doc
	}
	if doc == d.seg.docs {
		return d.base + d.kept
	}
	n := d.before[doc/64]
	for i := doc &^ 63; i < doc; i++ {
		if d.seg.isDeleted(i) {
			n++
		}
	}
	return d.base + doc - n
}

// mergedTable chooses codes by the counts that the segments kept.
func mergedTable(segments []*segment) *codeTable {
	counts := map[pair]uint64{}
	for _, s := range segments {
		for i := 1; i < codes; i++ {
			if p := s.table.pairs[i]; p.tf > 0 {
				counts[p] += s.table.counts[i]
			}
		}
	}
	return newCodeTable(counts)
}

func (m *merger) passages() error {
	for _, s := range m.segments {
		same := s.deleted == nil && bytes.Equal(s.stored.dict, m.w.stored.dict)
		for i := range s.stored.blocks {
			if err := m.ctx.Err(); err != nil {
				return err
			}
			var err error
			if same {
				err = m.copyBlock(s, i)
			} else {
				err = m.copyPassages(s, i)
			}
			if err != nil {
				return err
			}
			m.hasRead(storedBlock)
		}
	}
	return m.w.finishPassages()
}

func (m *merger) copyBlock(s *segment, i int) error {
	_, n, packed, err := s.stored.block(i)
	if err == nil {
		err = m.w.stored.flush()
	}
	if err != nil {
		return err
	}
	return m.w.stored.addPacked(packed, n)
}

func (m *merger) copyPassages(s *segment, i int) error {
	var failed error
	err := s.stored.each(i, func(doc uint32, p retrieve.Passage) bool {
		if !s.isDeleted(doc) {
			failed = m.w.stored.add(&p)
		}
		return failed == nil
	})
	return errors.Join(err, failed)
}

func (m *merger) lengths() error {
	return m.w.writeLengths(m.table, func(yield func(uint32) bool) {
		for _, s := range m.segments {
			for doc := range s.docs {
				if s.isDeleted(doc) {
					continue
				}
				n := s.length(doc)
				if n > 0 {
					m.w.info.WithTerms++
				}
				if !yield(n) {
					return
				}
			}
		}
	})
}

// terms merges the dictionaries and joins the postings of each term.
func (m *merger) terms() error {
	if err := m.w.startTerms(m.table); err != nil {
		return err
	}
	terms := &termHeap{}
	for i, s := range m.segments {
		it, err := newTermCursor(i, s)
		if err != nil {
			return err
		}
		if it != nil {
			terms.cursors = append(terms.cursors, it)
		}
	}
	heap.Init(terms)
	var term []byte
	var list postings
	for n := 0; terms.Len() > 0; n++ {
		if n%1024 == 0 && m.ctx.Err() != nil {
			return m.ctx.Err()
		}
		term = append(term[:0], terms.cursors[0].term...)
		for terms.Len() > 0 && bytes.Equal(terms.cursors[0].term, term) {
			c := terms.cursors[0]
			if err := list.open(c.seg, c.at); err != nil {
				return err
			}
			if err := m.join(&list, &m.maps[c.index]); err != nil {
				return err
			}
			m.hasRead(len(list.skips) + 2*int(list.df))
			more, err := c.next()
			if err != nil {
				return err
			}
			if more {
				heap.Fix(terms, 0)
			} else {
				heap.Pop(terms)
			}
		}
		if err := m.w.endTerm(term); err != nil {
			return err
		}
	}
	return m.w.finishTerms()
}

func (m *merger) join(list *postings, d *docMap) error {
	return list.each(func(doc uint32, p pair) error {
		if d.before != nil {
			if d.seg.isDeleted(doc) {
				return nil
			}
			doc = d.at(doc)
		} else {
			doc += d.base
		}
		m.w.info.Terms += uint64(p.tf)
		m.w.postings.add(doc, p)
		return nil
	})
}

// termCursor walks one segment's dictionary.
type termCursor struct {
	index int
	seg   *segment
	it    *vellum.FSTIterator
	term  []byte
	at    uint64
}

// newTermCursor stands on the first term; it is nil if there is none.
func newTermCursor(index int, s *segment) (c *termCursor, err error) {
	c = &termCursor{index: index, seg: s}
	more := false
	err = guard(s.terms.path, func() (err error) {
		c.it, err = s.dict.Iterator(nil, nil)
		more, err = c.state(err)
		return err
	})
	if !more {
		c = nil
	}
	return c, err
}

func (c *termCursor) next() (more bool, err error) {
	err = guard(c.seg.terms.path, func() (err error) {
		more, err = c.state(c.it.Next())
		return err
	})
	return more, err
}

func (c *termCursor) state(err error) (bool, error) {
	if errors.Is(err, vellum.ErrIteratorDone) {
		return false, nil
	}
	if err != nil {
		return false, damagedf(c.seg.terms.path, "%v", err)
	}
	c.term, c.at = c.it.Current()
	return true, nil
}

// termHeap orders cursors by term, then by segment.
type termHeap struct{ cursors []*termCursor }

func (h *termHeap) Len() int { return len(h.cursors) }
func (h *termHeap) Less(i, j int) bool {
	a, b := h.cursors[i], h.cursors[j]
	if c := bytes.Compare(a.term, b.term); c != 0 {
		return c < 0
	}
	return a.index < b.index
}
func (h *termHeap) Swap(i, j int) { h.cursors[i], h.cursors[j] = h.cursors[j], h.cursors[i] }
func (h *termHeap) Push(any)      { panic("cursors are never added") }
func (h *termHeap) Pop() any {
	last := h.cursors[len(h.cursors)-1]
	h.cursors = h.cursors[:len(h.cursors)-1]
	return last
}

// keys merges the sorted key tables.
func (m *merger) keys() error {
	if err := m.w.startKeys(); err != nil {
		return err
	}
	for kind := range keyKinds {
		var streams []func() (key, error, bool)
		for i, s := range m.segments {
			next, stop := iter.Pull2(m.segmentKeys(kind, s, &m.maps[i]))
			defer stop()
			streams = append(streams, next)
		}
		if err := mergeKeys(streams, func(k key) error { return m.w.keys.add(kind, k) }); err != nil {
			return err
		}
	}
	for _, s := range m.segments {
		for doc := range s.docs {
			if s.isDeleted(doc) {
				continue
			}
			hash, err := s.keys.content(doc)
			if err == nil {
				err = m.w.keys.addContent(hash)
			}
			if err != nil {
				return err
			}
			m.hasRead(8)
		}
	}
	return m.w.finishKeys()
}

// segmentKeys yields a table's entries with new numbers.
func (m *merger) segmentKeys(kind keyKind, s *segment, d *docMap) iter.Seq2[key, error] {
	return func(yield func(key, error) bool) {
		for i := range s.keys.len(kind) {
			k, err := s.keys.at(kind, i)
			m.hasRead(int(kind.size()))
			k.start, k.end = d.at(k.start), d.at(k.end)
			if err == nil && k.start == k.end {
				continue // all deleted
			}
			if !yield(k, err) || err != nil {
				return
			}
		}
	}
}

// mergeKeys calls emit with the entries of sorted streams in order.
func mergeKeys(streams []func() (key, error, bool), emit func(key) error) error {
	h := &keyHeap{}
	for _, next := range streams {
		k, err, ok := next()
		if err != nil {
			return err
		}
		if ok {
			h.heads = append(h.heads, keyHead{k, next})
		}
	}
	heap.Init(h)
	for h.Len() > 0 {
		head := &h.heads[0]
		if err := emit(head.key); err != nil {
			return err
		}
		k, err, ok := head.next()
		if err != nil {
			return err
		}
		if ok {
			head.key = k
			heap.Fix(h, 0)
		} else {
			heap.Pop(h)
		}
	}
	return nil
}

type keyHead struct {
	key  key
	next func() (key, error, bool)
}

type keyHeap struct{ heads []keyHead }

func (h *keyHeap) Len() int           { return len(h.heads) }
func (h *keyHeap) Less(i, j int) bool { return compareKeys(h.heads[i].key, h.heads[j].key) < 0 }
func (h *keyHeap) Swap(i, j int)      { h.heads[i], h.heads[j] = h.heads[j], h.heads[i] }
func (h *keyHeap) Push(any)           { panic("streams are never added") }
func (h *keyHeap) Pop() any {
	last := h.heads[len(h.heads)-1]
	h.heads = h.heads[:len(h.heads)-1]
	return last
}
