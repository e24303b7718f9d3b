package bm25

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"time"
)

// sourceWriter writes a sources file; sources come in order of their names.
type sourceWriter struct {
	out    *blockWriter
	places []byte
	buf    []byte
}

func createSources(path string) (*sourceWriter, error) {
	out, err := createBlockFile(path)
	return &sourceWriter{out: out}, err
}

func (w *sourceWriter) add(s sourceChange) error {
	w.places = binary.LittleEndian.AppendUint64(w.places, uint64(w.out.n))
	b := append(w.buf[:0], byte(s.what))
	b = appendString(appendString(b, s.Name), s.Title)
	b = binary.AppendUvarint(b, uint64(s.Passages))
	b = binary.AppendUvarint(b, uint64(s.Size))
	b = appendTime(b, s.Modified)
	b = binary.LittleEndian.AppendUint64(b, s.Digest)
	b = appendTime(b, s.Read)
	w.buf = b
	_, err := w.out.Write(b)
	return err
}

// appendTime encodes a time in nanoseconds, and none as 0.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.LittleEndian.AppendUint64(b, 0)
	}
	return binary.LittleEndian.AppendUint64(b, uint64(t.UnixNano()))
}

func (w *sourceWriter) finish() (fileSum, error) {
	n := uint64(len(w.places) / 8)
	if _, err := w.out.Write(binary.LittleEndian.AppendUint64(w.places, n)); err != nil {
		w.out.abandon()
		return fileSum{}, err
	}
	return w.out.finish()
}

// sourceChange is what a change does to a source.
type sourceChange struct {
	Source
	what changeKind
}

type changeKind byte

const (
	listed  changeKind = iota // its passages are those that were added; all that the index has is this
	touched                   // what is known of its file is new; Passages of it are deleted one by one, the others stay
	removed
)

// sourceChanges gathers changes in any order and gives them back sorted by name,
// one for each. What exceeds limit bytes goes to sorted files.
type sourceChanges struct {
	dir        string
	generation uint64
	limit      int

	pending []sourceChange
	size    int
	runs    []*sourceTable
}

// perSource is what a pending change takes beside its strings.
const perSource = 128

func (c *sourceChanges) add(s sourceChange) error {
	c.pending = append(c.pending, s)
	if c.size += perSource + len(s.Name) + len(s.Title); c.size < c.limit {
		return nil
	}
	return c.spill()
}

// spill writes the pending changes to a sorted file.
func (c *sourceChanges) spill() error {
	path := filepath.Join(c.dir, fmt.Sprintf("%d-%d.sources", c.generation, len(c.runs)))
	w, err := createSources(path)
	if err != nil {
		return err
	}
	for s := range joined(c.sorted()) {
		if err := w.add(s); err != nil {
			w.out.abandon()
			return err
		}
	}
	c.pending, c.size = c.pending[:0], 0
	sum, err := w.finish()
	if err != nil {
		return err
	}
	t, err := openSources(path, sum)
	if err == nil {
		c.runs = append(c.runs, t)
	}
	return err
}

// sorted yields the pending changes by name, those of one name in their order.
func (c *sourceChanges) sorted() iter.Seq2[sourceChange, error] {
	slices.SortStableFunc(c.pending, func(a, b sourceChange) int { return cmp.Compare(a.Name, b.Name) })
	return func(yield func(sourceChange, error) bool) {
		for _, s := range c.pending {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// all yields every change by name, one for each.
func (c *sourceChanges) all() iter.Seq2[sourceChange, error] {
	streams := make([]iter.Seq2[sourceChange, error], 0, len(c.runs)+1)
	for _, t := range c.runs {
		streams = append(streams, t.all())
	}
	streams = append(streams, c.sorted())
	for len(streams) > 1 { // pairs of pairs: as many comparisons as a heap needs
		var next []iter.Seq2[sourceChange, error]
		for i := 0; i < len(streams); i += 2 {
			if i+1 < len(streams) {
				next = append(next, merged(streams[i], streams[i+1]))
			} else {
				next = append(next, streams[i])
			}
		}
		streams = next
	}
	return joined(streams[0])
}

// merged yields two sorted streams as one, the first one's of equal names first.
func merged(a, b iter.Seq2[sourceChange, error]) iter.Seq2[sourceChange, error] {
	return func(yield func(sourceChange, error) bool) {
		next, stop := iter.Pull2(b)
		defer stop()
		y, err, more := next()
		for x, failed := range a {
			for more && (err != nil || failed == nil && y.Name < x.Name) {
				if !yield(y, err) || err != nil {
					return
				}
				y, err, more = next()
			}
			if !yield(x, failed) || failed != nil {
				return
			}
		}
		for more {
			if !yield(y, err) || err != nil {
				return
			}
			y, err, more = next()
		}
	}
}

// joined makes one change of successive ones of a name: passages that came in
// several stretches are counted together, and adding wins over removing.
func joined(changes iter.Seq2[sourceChange, error]) iter.Seq2[sourceChange, error] {
	return func(yield func(sourceChange, error) bool) {
		var last sourceChange
		any := false
		for s, err := range changes {
			if err != nil {
				yield(s, err)
				return
			}
			if any && s.Name == last.Name {
				last = last.with(s)
				continue
			}
			if any && !yield(last, nil) {
				return
			}
			last, any = s, true
		}
		if any {
			yield(last, nil)
		}
	}
}

// with joins two changes of one source.
func (s sourceChange) with(next sourceChange) sourceChange {
	switch {
	case next.what == removed:
		return s
	case s.what == removed:
		return next
	}
	if s.what != next.what {
		if next.what == listed {
			return next
		}
		return s
	}
	s.Title = cmp.Or(s.Title, next.Title)
	s.Passages += next.Passages
	if s.Modified.IsZero() {
		s.Size, s.Modified, s.Digest, s.Read = next.Size, next.Modified, next.Digest, next.Read
	}
	return s
}

// none reports whether nothing was added.
func (c *sourceChanges) none() bool { return len(c.pending) == 0 && len(c.runs) == 0 }

// close gives the files back; the writer's garbage collection removes them.
func (c *sourceChanges) close() {
	for _, t := range c.runs {
		t.close()
	}
	c.runs = nil
}

// apply writes the sources file that follows from old and the changes, and calls
// replaced with each source whose older passages go.
func (c *sourceChanges) apply(old *sourceTable, path string, replaced func(sourceChange) error) (fileSum, error) {
	w, err := createSources(path)
	if err != nil {
		return fileSum{}, err
	}
	next, stop := iter.Pull2(old.all())
	defer stop()
	have, err, more := next()
	for s, failed := range c.all() {
		err = cmp.Or(err, failed)
		for err == nil && more && have.Name < s.Name {
			if err = w.add(have); err == nil {
				have, err, more = next()
			}
		}
		if err != nil {
			break
		}
		known := more && have.Name == s.Name
		switch {
		case known && s.what == touched:
			s.Title, s.Passages = have.Title, max(0, have.Passages-s.Passages)
			if s.Modified.IsZero() {
				s.Size, s.Modified, s.Digest, s.Read = have.Size, have.Modified, have.Digest, have.Read
			}
		case known:
			err = replaced(s)
		}
		if err == nil && (s.what == listed || s.what == touched && known) {
			s.what = listed
			err = w.add(s)
		}
		if err == nil && known {
			have, err, more = next()
		}
		if err != nil {
			break
		}
	}
	for err == nil && more {
		if err = w.add(have); err == nil {
			have, err, more = next()
		}
	}
	if err != nil {
		w.out.abandon()
		return fileSum{}, err
	}
	return w.finish()
}
