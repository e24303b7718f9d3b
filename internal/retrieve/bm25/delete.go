package bm25

import (
	"fmt"
	"path/filepath"

	"github.com/cespare/xxhash/v2"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

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

// addSource marks the passages of a source.
func (d *deletions) addSource(name string) error {
	return d.exactly(bySource, name, func(p retrieve.Passage, k key) {
		if p.Source == name {
			for doc := k.start; doc < k.end; doc++ {
				d.mark(doc)
			}
		}
	})
}

// addID marks the passages with an id, and returns the source of each that was not
// marked before.
func (d *deletions) addID(id string) (sources []string, err error) {
	err = d.exactly(byID, id, func(p retrieve.Passage, k key) {
		if before := d.n; p.ID == id {
			if d.mark(k.start); d.n > before && p.Source != "" {
				sources = append(sources, p.Source)
			}
		}
	})
	return sources, err
}

// exactly calls f with the runs of passages that the table has for a name, and the
// first passage of each: another name may have the same hash.
func (d *deletions) exactly(kind keyKind, name string, f func(retrieve.Passage, key)) error {
	found, err := d.seg.keys.find(nil, kind, xxhash.Sum64String(name))
	for _, k := range found {
		p, failed := d.seg.stored.passage(k.start)
		if failed != nil {
			return failed
		}
		f(p, k)
	}
	return err
}

// write stores the marks, if there are new ones, and notes them in info.
func (d *deletions) write(dir string, generation uint64, info *segmentInfo) error {
	if d.n == 0 {
		return nil
	}
	// A segment's name is "generation" or "generation-run"; the marks carry the
	// generation of the change, which no other marks have.
	name := fmt.Sprintf("%d-%s.deleted", generation, firstNumber(info.Name))
	w, err := createBlockFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	if _, err := w.Write(d.bits); err != nil {
		w.abandon()
		return err
	}
	sum, err := w.finish()
	if err != nil {
		return err
	}
	info.Deleted, info.DeletedSum = name, sum
	info.DeletedCount += uint32(d.n)
	return nil
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
