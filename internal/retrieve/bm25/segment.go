package bm25

import (
	"encoding/binary"
	"math/bits"
	"path/filepath"

	"github.com/blevesearch/vellum"
)

// The files of a segment, by extension.
const (
	extTerms    = ".terms"    // vellum FST: term → place in the postings file
	extPostings = ".postings" // see postings.go
	extLengths  = ".lengths"  // code table, then a length a passage
	extPassages = ".passages" // see stored.go
	extKeys     = ".keys"     // see keys.go
	extSources  = ".sources"  // of the whole index, see sources.go
)

var segmentFiles = []string{extTerms, extPostings, extLengths, extPassages, extKeys}

const codeEntry = 16 // of the code table: tf (4), length (4), count (8)

// segmentInfo is what the manifest says of a segment.
type segmentInfo struct {
	Name      string             `json:"name"`
	Passages  uint32             `json:"passages"`
	WithTerms uint32             `json:"passages_with_terms"`
	Terms     uint64             `json:"terms"` // of all passages together
	Files     map[string]fileSum `json:"files"` // by extension
	// Deleted is the file with a bit a deleted passage; empty if there is none.
	Deleted      string  `json:"deleted,omitempty"`
	DeletedSum   fileSum `json:"deleted_sum,omitzero"`
	DeletedCount uint32  `json:"deleted_passages,omitempty"`
}

// segment is an open segment. It does not change.
type segment struct {
	info  segmentInfo
	docs  uint32
	exact bool // lengths take 4 bytes, else one of Lucene's
	// Of its index: whether passages know their title and headings, and what is put
	// before their names (several.go).
	breadcrumb bool
	named      string
	dict       *vellum.FST
	terms      *blockFile
	postings   *blockFile
	lengths    []byte
	lenFile    *blockFile
	table      codeTable
	units      [codes]float32 // what a posting of each code scores at weight 1; 0 for code 0
	stored     *stored
	keys       *keys
	deleted    []byte // a bit a passage, or nil
	files      []*blockFile
}

func openSegment(dir string, info segmentInfo, exact bool) (s *segment, err error) {
	s = &segment{info: info, docs: info.Passages, exact: exact}
	defer func() {
		if err != nil {
			s.close()
			s = nil
		}
	}()
	if info.Passages == 0 || info.DeletedCount > info.Passages || info.WithTerms > info.Passages {
		return s, damagedf(manifestName, "segment %q has impossible counts", info.Name)
	}
	open := map[string]*blockFile{}
	for _, ext := range segmentFiles {
		sum, ok := info.Files[ext]
		if !ok || info.Name != filepath.Base(info.Name) {
			return s, damagedf(manifestName, "segment %q has no %s", info.Name, ext)
		}
		f, err := openBlockFile(filepath.Join(dir, info.Name+ext), sum)
		if err != nil {
			return s, err
		}
		open[ext] = f
		s.files = append(s.files, f)
	}
	s.terms, s.postings, s.lenFile = open[extTerms], open[extPostings], open[extLengths]
	if err := s.loadTerms(); err != nil {
		return s, err
	}
	if err := s.loadLengths(); err != nil {
		return s, err
	}
	if s.stored, err = openStored(open[extPassages], s.docs); err != nil {
		return s, err
	}
	if s.keys, err = openKeys(open[extKeys], s.docs); err != nil {
		return s, err
	}
	return s, s.loadDeleted(dir)
}

func (s *segment) loadTerms() error {
	data, err := s.terms.all()
	if err != nil {
		return err
	}
	return guard(s.terms.path, func() error {
		s.dict, err = vellum.Load(data)
		if err != nil {
			return damagedf(s.terms.path, "%v", err)
		}
		return nil
	})
}

func (s *segment) loadLengths() error {
	data, err := s.lenFile.all()
	if err != nil {
		return err
	}
	width := 1
	if s.exact {
		width = 4
	}
	if len(data) != codes*codeEntry+int(s.docs)*width {
		return damagedf(s.lenFile.path, "it does not hold %d lengths", s.docs)
	}
	for i := range codes {
		e := data[i*codeEntry:]
		s.table.pairs[i] = pair{binary.LittleEndian.Uint32(e), binary.LittleEndian.Uint32(e[4:])}
		s.table.counts[i] = binary.LittleEndian.Uint64(e[8:])
	}
	s.lengths = data[codes*codeEntry:]
	return nil
}

func (s *segment) loadDeleted(dir string) error {
	if s.info.Deleted == "" {
		return nil
	}
	if s.info.Deleted != filepath.Base(s.info.Deleted) {
		return damagedf(manifestName, "segment %q names a file outside the index", s.info.Name)
	}
	f, err := openBlockFile(filepath.Join(dir, s.info.Deleted), s.info.DeletedSum)
	if err != nil {
		return err
	}
	s.files = append(s.files, f)
	if s.deleted, err = f.all(); err != nil {
		return err
	}
	n := 0
	for _, b := range s.deleted {
		n += bits.OnesCount8(b)
	}
	if len(s.deleted) != int(s.docs+7)/8 || n != int(s.info.DeletedCount) {
		return damagedf(f.path, "it does not mark %d of %d passages", s.info.DeletedCount, s.docs)
	}
	return nil
}

func (s *segment) close() {
	if s.stored != nil {
		s.stored.close()
	}
	for _, f := range s.files {
		f.close()
	}
}

// forget gives back the memory that the segment's files take once read.
func (s *segment) forget() {
	for _, f := range s.files {
		forget(f.mapping.Data)
	}
}

// length returns a passage's length as it is scored.
func (s *segment) length(doc uint32) uint32 {
	if s.exact {
		return binary.LittleEndian.Uint32(s.lengths[4*doc:])
	}
	return decodeLength(s.lengths[doc])
}

func (s *segment) isDeleted(doc uint32) bool {
	return s.deleted != nil && s.deleted[doc/8]&(1<<(doc%8)) != 0
}

// lookup opens a term's postings; ok is false where the segment lacks the term.
func (s *segment) lookup(term []byte, r *vellum.Reader, l *postings) (ok bool, err error) {
	var at uint64
	err = guard(s.terms.path, func() (err error) {
		at, ok, err = r.Get(term)
		return err
	})
	if err != nil || !ok {
		return false, err
	}
	return true, l.open(s, at)
}

// guard turns a panic of the dictionary's reader, which trusts its file, into an
// error.
func guard(path string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = damagedf(path, "the dictionary does not decode: %v", p)
		}
	}()
	return f()
}

func openSegments(dir string, infos []segmentInfo, exact bool) (segments []*segment, err error) {
	for _, info := range infos {
		s, err := openSegment(dir, info, exact)
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
