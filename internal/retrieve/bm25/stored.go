package bm25

import (
	"encoding/binary"
	"sort"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// The passages file holds a dictionary for zstd, compressed blocks of passages,
// a table of where each block begins, and a trailer:
//
//	dictionary | blocks | first passage (4), offset (8) a block | dictionary size (4), blocks (4), table offset (8)
//
// A passage is its offset (varint) and flags (1 byte); page and line (varints) and
// heading where one of them is known; then id, title, source and text. Strings are
// a varint length and bytes; an id that ends in '#' and the offset, as chunking
// makes it, is stored without them.
const (
	storedBlock   = 16 << 10 // bytes of passages a block holds before it is compressed
	storedEntry   = 12
	storedTrailer = 16
	dictionaryID  = 1
	dictionaryMax = 112 << 10
	maxStored     = 1 << 30 // bytes a block may unpack to

	flagFirst    = 1 // the passage is its document's first
	flagIDOffset = 2 // the id goes on with '#' and the offset
	flagPlace    = 4 // page, line and heading are there
)

// stored reads a passages file.
type stored struct {
	file   *blockFile
	docs   uint32
	dict   []byte
	table  []byte // storedEntry bytes a block
	blocks int
	end    uint64 // of the last block
	dec    *zstd.Decoder
	bufs   sync.Pool
}

func openStored(file *blockFile, docs uint32) (*stored, error) {
	n := uint64(len(file.data))
	if n < storedTrailer {
		return nil, damagedf(file.path, "no room for its trailer")
	}
	tail, err := file.bytes(n-storedTrailer, storedTrailer)
	if err != nil {
		return nil, err
	}
	s := &stored{file: file, docs: docs, blocks: int(binary.LittleEndian.Uint32(tail[4:])), end: binary.LittleEndian.Uint64(tail[8:])}
	if s.end > n || uint64(s.blocks)*storedEntry != n-storedTrailer-s.end {
		return nil, damagedf(file.path, "its trailer is broken")
	}
	if s.table, err = file.bytes(s.end, uint64(s.blocks)*storedEntry); err != nil {
		return nil, err
	}
	if s.dict, err = file.bytes(0, uint64(binary.LittleEndian.Uint32(tail))); err != nil {
		return nil, err
	}
	options := []zstd.DOption{zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxStored)}
	if len(s.dict) > 0 {
		options = append(options, zstd.WithDecoderDictRaw(dictionaryID, s.dict))
	}
	if s.dec, err = zstd.NewReader(nil, options...); err != nil {
		return nil, err
	}
	s.bufs.New = func() any { return new([]byte) }
	return s, nil
}

func (s *stored) close() {
	if s.dec != nil {
		s.dec.Close()
	}
}

// block returns the first passage of block i and its compressed bytes.
func (s *stored) block(i int) (first, n uint32, packed []byte, err error) {
	entry := func(i int) (uint32, uint64) {
		if i == s.blocks {
			return s.docs, s.end
		}
		e := s.table[i*storedEntry:]
		return binary.LittleEndian.Uint32(e), binary.LittleEndian.Uint64(e[4:])
	}
	first, from := entry(i)
	next, to := entry(i + 1)
	if next <= first || to < from || next > s.docs {
		return 0, 0, nil, damagedf(s.file.path, "block %d has no sensible place", i)
	}
	packed, err = s.file.bytes(from, to-from)
	return first, next - first, packed, err
}

// each calls f with every passage of block i.
func (s *stored) each(i int, f func(doc uint32, p retrieve.Passage) bool) error {
	first, n, packed, err := s.block(i)
	if err != nil {
		return err
	}
	buf := s.bufs.Get().(*[]byte)
	defer s.bufs.Put(buf)
	data, err := s.dec.DecodeAll(packed, (*buf)[:0])
	if err != nil {
		return damagedf(s.file.path, "block %d does not unpack: %v", i, err)
	}
	*buf = data
	for doc := first; doc < first+n; doc++ {
		p, rest, ok := decodePassage(data)
		if !ok {
			return damagedf(s.file.path, "passage %d does not decode", doc)
		}
		if data = rest; !f(doc, p) {
			break
		}
	}
	return nil
}

// passage returns one passage.
func (s *stored) passage(doc uint32) (p retrieve.Passage, err error) {
	i := sort.Search(s.blocks, func(i int) bool { return binary.LittleEndian.Uint32(s.table[i*storedEntry:]) > doc }) - 1
	found := false
	if i >= 0 {
		err = s.each(i, func(d uint32, q retrieve.Passage) bool {
			if d == doc {
				p, found = q, true
			}
			return !found
		})
	}
	if err == nil && !found {
		err = damagedf(s.file.path, "passage %d is missing", doc)
	}
	return p, err
}

// decodePassage reads one passage; its strings are copies.
func decodePassage(b []byte) (p retrieve.Passage, rest []byte, ok bool) {
	r := fieldReader{rest: b}
	p.Offset = int64(r.number())
	flags := r.byte()
	p.First = flags&flagFirst != 0
	if flags&flagPlace != 0 {
		p.Page, p.Line = int(r.number()), int(r.number())
		p.Heading = r.string()
	}
	p.ID, p.Title, p.Source, p.Text = r.string(), r.string(), r.string(), r.string()
	if flags&flagIDOffset != 0 {
		p.ID += offsetSuffix(p.Offset)
	}
	return p, r.rest, !r.failed && p.Offset >= 0 && p.Page >= 0 && p.Line >= 0
}

// fieldReader takes one field after another from bytes that may be broken.
type fieldReader struct {
	rest   []byte
	failed bool
}

func (r *fieldReader) number() uint64 {
	n, k := binary.Uvarint(r.rest)
	if k <= 0 {
		r.failed, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[k:]
	return n
}

func (r *fieldReader) byte() byte {
	if len(r.rest) == 0 {
		r.failed = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *fieldReader) string() string {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.failed, r.rest = true, nil
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}
