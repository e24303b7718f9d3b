package bm25

import (
	"encoding/binary"
	"slices"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// keysOf returns the sorted tables of a run of passages.
func keysOf(passages []retrieve.Passage) [keyKinds][]key {
	var tables [keyKinds][]key
	for kind := range tables {
		var t []key
		for i := range passages {
			p, at := &passages[i], uint32(i)
			same := i > 0 && (keyKind(kind) == byTitle && p.Title == passages[i-1].Title ||
				keyKind(kind) == bySource && p.Source == passages[i-1].Source)
			if same {
				t[len(t)-1].end = at + 1
				continue
			}
			t = append(t, key{keyHash(keyKind(kind), p), at, at + 1})
		}
		slices.SortFunc(t, compareKeys)
		tables[kind] = t
	}
	return tables
}

// keyWriter writes the tables in order of kind, then the contents.
type keyWriter struct {
	out    *blockWriter
	counts [keyKinds]uint64
	buf    [16]byte
}

func (w *keyWriter) add(kind keyKind, k key) error {
	w.counts[kind]++
	binary.LittleEndian.PutUint64(w.buf[:], k.hash)
	binary.LittleEndian.PutUint32(w.buf[8:], k.start)
	binary.LittleEndian.PutUint32(w.buf[12:], k.end)
	_, err := w.out.Write(w.buf[:kind.size()])
	return err
}

// addContent appends the next passage's content.
func (w *keyWriter) addContent(hash uint64) error {
	binary.LittleEndian.PutUint64(w.buf[:], hash)
	_, err := w.out.Write(w.buf[:8])
	return err
}

func (w *keyWriter) finish() (fileSum, error) {
	var tail []byte
	for _, n := range w.counts {
		tail = binary.LittleEndian.AppendUint64(tail, n)
	}
	if _, err := w.out.Write(tail); err != nil {
		return fileSum{}, err
	}
	return w.out.finish()
}
