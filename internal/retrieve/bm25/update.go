package bm25

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// openForWriting locks an index and opens its segments.
func openForWriting(dir string) (m *manifest, segments []*segment, release func(), err error) {
	if _, err := readManifest(dir); err != nil {
		return nil, nil, nil, err
	}
	lock, err := lockIndex(dir)
	if err != nil {
		return nil, nil, nil, err
	}
	release = func() {
		closeAll(segments)
		lock.Unlock()
	}
	if m, err = readManifest(dir); err == nil {
		segments, err = openSegments(dir, m)
	}
	if err != nil {
		release()
		return nil, nil, nil, err
	}
	removeGarbage(dir, m)
	return m, segments, release, nil
}

func openSegments(dir string, m *manifest) (segments []*segment, err error) {
	for _, info := range m.Segments {
		s, err := openSegment(dir, info, m.ExactLengths)
		if err != nil {
			closeAll(segments)
			return nil, err
		}
		segments = append(segments, s)
	}
	return segments, nil
}

func closeAll(segments []*segment) {
	for _, s := range segments {
		s.close()
	}
}

// Add appends passages to the index in dir as a new segment. A passage whose
// title and text are there already is left out; one whose id is there already
// replaces the older one.
func Add(ctx context.Context, dir string, passages iter.Seq2[retrieve.Passage, error], opt BuildOptions) (Stats, error) {
	m, segments, release, err := openForWriting(dir)
	if err != nil {
		return Stats{}, err
	}
	defer release()
	opt.Analyzer, opt.ExactLengths, opt.IndexTitle = m.Analyzer, m.ExactLengths, m.IndexTitle
	opt.setDefaults()
	before := *m
	before.Segments = slices.Clone(m.Segments)
	stats, err := writePassages(ctx, dir, m, segments, passages, opt)
	if err != nil {
		removeGarbage(dir, &before)
		return stats, err
	}
	removeGarbage(dir, m)
	return stats, nil
}

// Delete marks as deleted the passages with the given ids and all passages of
// the given sources, and returns how many there were.
func Delete(dir string, ids, sources []string) (int, error) {
	m, segments, release, err := openForWriting(dir)
	if err != nil {
		return 0, err
	}
	defer release()
	m.Generation++
	total := 0
	for i, s := range segments {
		d := newDeletions(s)
		for _, id := range ids {
			if err := d.addExact(byID, id); err != nil {
				return 0, err
			}
		}
		for _, source := range sources {
			if err := d.addExact(bySource, source); err != nil {
				return 0, err
			}
		}
		n, err := d.write(dir, m.Generation, &m.Segments[i])
		if err != nil {
			return 0, diskError(dir, err)
		}
		total += n
	}
	if total == 0 {
		return 0, nil
	}
	if err := m.commit(dir); err != nil {
		return 0, diskError(dir, err)
	}
	removeGarbage(dir, m)
	return total, nil
}

// Compact rewrites the index as one segment without its deleted passages.
func Compact(ctx context.Context, dir string) error {
	m, segments, release, err := openForWriting(dir)
	if err != nil {
		return err
	}
	defer release()
	live := uint32(0)
	for _, s := range segments {
		live += s.docs - s.info.DeletedCount
	}
	if len(segments) == 1 && segments[0].info.DeletedCount == 0 {
		return nil
	}
	before := *m
	m.Generation++
	if live == 0 {
		m.Segments = nil
	} else {
		info, err := mergeSegments(ctx, dir, fmt.Sprint(m.Generation), segments, m.ExactLengths)
		if err != nil {
			removeGarbage(dir, &before)
			return diskError(dir, err)
		}
		m.Segments = []segmentInfo{info}
	}
	if err := m.commit(dir); err != nil {
		removeGarbage(dir, &before)
		return diskError(dir, err)
	}
	removeGarbage(dir, m)
	return nil
}

// deletions gathers what is to be deleted from a segment.
type deletions struct {
	seg  *segment
	bits []byte
	n    int // newly deleted
}

func newDeletions(s *segment) *deletions { return &deletions{seg: s} }

func (d *deletions) mark(doc uint32) {
	if d.bits == nil {
		d.bits = make([]byte, (d.seg.docs+7)/8)
		copy(d.bits, d.seg.deleted)
	}
	if d.bits[doc/8]&(1<<(doc%8)) == 0 {
		d.bits[doc/8] |= 1 << (doc % 8)
		d.n++
	}
}

// add marks what a table holds under a hash.
func (d *deletions) add(kind keyKind, hash uint64) error {
	found, err := d.seg.keys.find(nil, kind, hash)
	for _, k := range found {
		for doc := k.start; doc < k.end; doc++ {
			d.mark(doc)
		}
	}
	return err
}

// addExact marks the passages of that very id or source.
func (d *deletions) addExact(kind keyKind, name string) error {
	found, err := d.seg.keys.find(nil, kind, xxhash.Sum64String(name))
	if err != nil {
		return err
	}
	for _, k := range found {
		p, err := d.seg.stored.passage(k.start)
		if err != nil {
			return err
		}
		if kind == byID && p.ID != name || kind == bySource && p.Source != name {
			continue // another name with the same hash
		}
		for doc := k.start; doc < k.end; doc++ {
			d.mark(doc)
		}
	}
	return nil
}

// write stores the marks, if there are new ones, and notes them in info.
func (d *deletions) write(dir string, generation uint64, info *segmentInfo) (int, error) {
	if d.n == 0 {
		return 0, nil
	}
	// A segment's name is "generation" or "generation-run"; the marks carry the
	// generation of the change, which no other marks have.
	name := fmt.Sprintf("%d-%s.deleted", generation, firstNumber(info.Name))
	w, err := createBlockFile(filepath.Join(dir, name))
	if err != nil {
		return 0, err
	}
	if _, err := w.Write(d.bits); err != nil {
		w.abandon()
		return 0, err
	}
	sum, err := w.finish()
	if err != nil {
		return 0, err
	}
	info.Deleted, info.DeletedSum = name, sum
	info.DeletedCount += uint32(d.n)
	return d.n, nil
}

// firstNumber returns the generation in a segment's name, which no other
// segment of an index shares.
func firstNumber(name string) string {
	for i, r := range name {
		if r < '0' || r > '9' {
			return name[:i]
		}
	}
	return name
}
