package bm25

import (
	"encoding/binary"
	"iter"
	"sort"
	"time"
)

// Source is what passages come from and go with: a file, or one reading of
// standard input. Adding a source again replaces all of it.
type Source struct {
	Name     string // unique in the index; what its passages have as Source
	Title    string // of its first document
	Passages int    // in the index; 0 for a file without text
	// What the file was like when it was read, for telling whether it has changed
	// since. Zero where nothing is known.
	Size     int64 // bytes
	Modified time.Time
	Digest   uint64 // XXH64 of its bytes
	Read     time.Time
}

// The sources file lists all sources of the index, sorted by name. A change writes
// it anew, streaming the one before, so that millions of sources take no memory.
//
//	records | place of each record (8) | number of records (8)
//
// A record is what a change does (1, see sourceChange), name and title (varint
// length and bytes), passages and size (varints), time of modification in
// nanoseconds (8), digest (8) and time of reading in nanoseconds (8).
const sourcesTrailer = 8

// sourceTable reads a sources file. The zero value is one without sources.
type sourceTable struct {
	file  *blockFile
	n     int
	table uint64 // where the places stand
}

func openSources(path string, sum fileSum) (*sourceTable, error) {
	file, err := openBlockFile(path, sum)
	if err != nil {
		return nil, err
	}
	t := &sourceTable{file: file}
	size := uint64(len(file.data))
	var tail []byte
	if size >= sourcesTrailer {
		tail, err = file.bytes(size-sourcesTrailer, sourcesTrailer)
	}
	if err == nil && (tail == nil || binary.LittleEndian.Uint64(tail) > (size-sourcesTrailer)/8) {
		err = damagedf(path, "it has no sensible number of sources")
	}
	if err != nil {
		file.close()
		return nil, err
	}
	t.n = int(binary.LittleEndian.Uint64(tail))
	t.table = size - sourcesTrailer - 8*uint64(t.n)
	return t, nil
}

func (t *sourceTable) close() {
	if t.file != nil {
		t.file.close()
	}
}

// at returns source i.
func (t *sourceTable) at(i int) (s sourceChange, err error) {
	places, err := t.file.bytes(t.table+8*uint64(i), 8)
	if err != nil {
		return s, err
	}
	from, to := binary.LittleEndian.Uint64(places), t.table
	if i+1 < t.n {
		if places, err = t.file.bytes(t.table+8*uint64(i+1), 8); err != nil {
			return s, err
		}
		to = binary.LittleEndian.Uint64(places)
	}
	if from > to || to > t.table {
		return s, damagedf(t.file.path, "source %d has no sensible place", i)
	}
	record, err := t.file.bytes(from, to-from)
	if err != nil {
		return s, err
	}
	r := fieldReader{rest: record}
	s.what = changeKind(r.byte())
	s.Name, s.Title = r.string(), r.string()
	s.Passages, s.Size = int(r.number()), int64(r.number())
	if r.failed || len(r.rest) != 24 || s.what > removed || s.Passages < 0 || s.Size < 0 {
		return s, damagedf(t.file.path, "source %d does not decode", i)
	}
	s.Modified = decodeTime(r.rest)
	s.Digest = binary.LittleEndian.Uint64(r.rest[8:])
	s.Read = decodeTime(r.rest[16:])
	return s, nil
}

func decodeTime(b []byte) time.Time {
	if ns := int64(binary.LittleEndian.Uint64(b)); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// all yields the sources in order of their names.
func (t *sourceTable) all() iter.Seq2[sourceChange, error] {
	return func(yield func(sourceChange, error) bool) {
		for i := range t.n {
			if s, err := t.at(i); !yield(s, err) || err != nil {
				return
			}
		}
	}
}

// find returns the number of the source of that name, and whether there is one.
func (t *sourceTable) find(name string) (i int, s sourceChange, ok bool, err error) {
	i = sort.Search(t.n, func(i int) bool {
		at, failed := t.at(i)
		if failed != nil {
			err = failed
		}
		return at.Name >= name
	})
	if err != nil || i == t.n {
		return i, s, false, err
	}
	s, err = t.at(i)
	return i, s, s.Name == name, err
}

// Source returns what the index says of the source of that name, and whether it has one.
func (x *Index) Source(name string) (Source, bool, error) {
	_, s, ok, err := x.sources.find(name)
	return s.Source, ok, err
}

// Sources yields what the index holds, by name.
func (x *Index) Sources() iter.Seq2[Source, error] {
	return func(yield func(Source, error) bool) {
		for s, err := range x.sources.all() {
			if !yield(s.Source, err) {
				return
			}
		}
	}
}
