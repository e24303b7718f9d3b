package bm25

import (
	"encoding/binary"
	"fmt"
	"path/filepath"

	"github.com/blevesearch/vellum"

	"github.com/flashback-lm/flashback/internal/atomicfile"
)

// segmentWriter writes the files of a new segment. Its parts are written in
// turn: passages, lengths, terms, keys.
type segmentWriter struct {
	dir, name string
	exact     bool
	info      segmentInfo
	open      []*blockWriter
	stored    *storedWriter
	postings  *postingsWriter
	termsFile *blockWriter
	terms     *vellum.Builder
	keys      *keyWriter
}

func newSegmentWriter(dir, name string, exact bool, dict []byte) (*segmentWriter, error) {
	w := &segmentWriter{dir: dir, name: name, exact: exact, info: segmentInfo{Name: name, Files: map[string]fileSum{}}}
	out, err := w.create(extPassages)
	if err == nil {
		w.stored, err = newStoredWriter(out, dict)
	}
	if err != nil {
		w.abandon()
		return nil, err
	}
	return w, nil
}

func (w *segmentWriter) create(ext string) (*blockWriter, error) {
	b, err := createBlockFile(filepath.Join(w.dir, w.name+ext))
	if err == nil {
		w.open = append(w.open, b)
	}
	return b, err
}

// abandon drops what was written.
func (w *segmentWriter) abandon() {
	for _, b := range w.open {
		b.abandon()
	}
}

// done notes a finished file.
func (w *segmentWriter) done(ext string, sum fileSum, err error) error {
	w.info.Files[ext] = sum
	return err
}

// writeLengths writes the code table and every passage's number of terms.
func (w *segmentWriter) writeLengths(table *codeTable, passages func(yield func(length uint32) bool)) error {
	out, err := w.create(extLengths)
	if err != nil {
		return err
	}
	var b []byte
	for i, p := range table.pairs {
		b = binary.LittleEndian.AppendUint32(b, p.tf)
		b = binary.LittleEndian.AppendUint32(b, p.length)
		b = binary.LittleEndian.AppendUint64(b, table.counts[i])
	}
	for n := range passages {
		w.info.Passages++
		if w.exact {
			b = binary.LittleEndian.AppendUint32(b, n)
		} else {
			b = append(b, encodeLength(n))
		}
		if len(b) >= 1<<16 {
			if _, err := out.Write(b); err != nil {
				return err
			}
			b = b[:0]
		}
	}
	if _, err := out.Write(b); err != nil {
		return err
	}
	sum, err := out.finish()
	return w.done(extLengths, sum, err)
}

// startTerms opens the dictionary and the postings; terms follow in order.
func (w *segmentWriter) startTerms(table *codeTable) error {
	out, err := w.create(extPostings)
	if err != nil {
		return err
	}
	w.postings = newPostingsWriter(out, table)
	if w.termsFile, err = w.create(extTerms); err != nil {
		return err
	}
	w.terms, err = vellum.New(w.termsFile, nil)
	return err
}

// endTerm names the postings that were added since the last call.
func (w *segmentWriter) endTerm(term []byte) error {
	at, ok, err := w.postings.endTerm()
	if err != nil || !ok {
		return err
	}
	return w.terms.Insert(term, at)
}

func (w *segmentWriter) finishTerms() error {
	if err := w.terms.Close(); err != nil {
		return err
	}
	sum, err := w.termsFile.finish()
	if err = w.done(extTerms, sum, err); err != nil {
		return err
	}
	sum, err = w.postings.out.finish()
	return w.done(extPostings, sum, err)
}

func (w *segmentWriter) startKeys() error {
	out, err := w.create(extKeys)
	w.keys = &keyWriter{out: out}
	return err
}

func (w *segmentWriter) finishKeys() error {
	sum, err := w.keys.finish()
	return w.done(extKeys, sum, err)
}

func (w *segmentWriter) finishPassages() error {
	sum, err := w.stored.finish()
	return w.done(extPassages, sum, err)
}

// diskError explains an error of writing the index.
func diskError(dir string, err error) error {
	if atomicfile.NoSpace(err) {
		return fmt.Errorf("%s: the disk is full; the index is as it was before: %w", dir, err)
	}
	return fmt.Errorf("%s: cannot write the index: %w", dir, err)
}
