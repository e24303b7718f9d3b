package bm25

import (
	"fmt"
	"path/filepath"

	"github.com/cespare/xxhash/v2"
)

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
