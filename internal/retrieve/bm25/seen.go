package bm25

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
)

// contentSet remembers the content hashes of a build in bounded memory: what
// exceeds limit hashes goes to sorted files.
type contentSet struct {
	dir        string
	generation uint64
	limit      int // hashes held in memory

	table []uint64 // open addressing, zero is free
	n     int
	files []*blockFile
}

// add notes a hash and reports whether it is new.
func (s *contentSet) add(hash uint64) (bool, error) {
	hash = max(hash, 1)
	for _, f := range s.files {
		if found, err := inSorted(f, hash); found || err != nil {
			return false, err
		}
	}
	if 4*(s.n+1) > 3*len(s.table) {
		if err := s.grow(); err != nil {
			return false, err
		}
	}
	slot := s.slot(hash)
	if s.table[slot] == hash {
		return false, nil
	}
	s.table[slot] = hash
	s.n++
	return true, nil
}

// slot returns where a hash is or belongs.
func (s *contentSet) slot(hash uint64) int {
	mask := len(s.table) - 1
	i := int(hash) & mask
	for s.table[i] != 0 && s.table[i] != hash {
		i = (i + 1) & mask
	}
	return i
}

func (s *contentSet) grow() error {
	old := s.table
	if s.n >= s.limit && s.n > 0 {
		if err := s.spill(); err != nil {
			return err
		}
		clear(s.table)
		s.n = 0
		return nil
	}
	s.table = make([]uint64, max(1024, 2*len(old)))
	for _, h := range old {
		if h != 0 {
			s.table[s.slot(h)] = h
		}
	}
	return nil
}

// spill writes the hashes in memory to a sorted file.
func (s *contentSet) spill() error {
	path := filepath.Join(s.dir, fmt.Sprintf("%d-%d.seen", s.generation, len(s.files)))
	w, err := createBlockFile(path)
	if err != nil {
		return err
	}
	hashes := slices.DeleteFunc(s.table, func(h uint64) bool { return h == 0 })
	slices.Sort(hashes)
	var b [8]byte
	for _, h := range hashes {
		binary.LittleEndian.PutUint64(b[:], h)
		if _, err := w.Write(b[:]); err != nil {
			w.abandon()
			return err
		}
	}
	s.table = s.table[:cap(s.table)]
	sum, err := w.finish()
	if err != nil {
		return err
	}
	f, err := openBlockFile(path, sum)
	if err == nil {
		s.files = append(s.files, f)
	}
	return err
}

func inSorted(f *blockFile, hash uint64) (bool, error) {
	data, err := f.all()
	if err != nil {
		return false, err
	}
	n := len(data) / 8
	i := sort.Search(n, func(i int) bool { return binary.LittleEndian.Uint64(data[8*i:]) >= hash })
	return i < n && binary.LittleEndian.Uint64(data[8*i:]) == hash, nil
}

// close empties the set and gives its files back; the writer's garbage collection
// removes them.
func (s *contentSet) close() {
	for _, f := range s.files {
		f.close()
	}
	s.table, s.files = nil, nil
}
