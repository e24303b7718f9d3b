package bm25

import (
	"encoding/binary"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// The passages file holds a dictionary for zstd, compressed blocks of passages,
// a table of where each block begins, and a trailer:
//
//	dictionary | blocks | first passage (4), offset (8) a block | dictionary size (4), blocks (4), table offset (8)
//
// A passage is its offset (varint) and flags (1 byte), then id, title, source and
// text, each a varint length and bytes; an id that ends in '#' and the offset, as
// chunking makes it, is stored without them.
const (
	storedBlock   = 16 << 10 // bytes of passages a block holds before it is compressed
	storedEntry   = 12
	storedTrailer = 16
	dictionaryID  = 1
	dictionaryMax = 112 << 10
	maxStored     = 1 << 30 // bytes a block may unpack to

	flagFirst    = 1 // the passage is its document's first
	flagIDOffset = 2 // the id goes on with '#' and the offset
)

// sampleDictionary gathers text that is like the passages, which lets small
// blocks compress as well as large ones.
func sampleDictionary(passages []retrieve.Passage) []byte {
	const piece = 512
	step := max(1, len(passages)*piece/dictionaryMax)
	var dict []byte
	for i := 0; i < len(passages) && len(dict)+piece <= dictionaryMax; i += step {
		text := passages[i].Text
		dict = append(dict, text[:min(len(text), piece)]...)
	}
	if len(dict) < 1024 {
		return nil // too little to help
	}
	return dict
}

// storedWriter writes a passages file.
type storedWriter struct {
	out     *blockWriter
	enc     *zstd.Encoder
	dict    []byte
	pending []byte // of the present block
	first   uint32 // its first passage
	next    uint32
	table   []byte
	packed  []byte
}

func newStoredWriter(out *blockWriter, dict []byte) (*storedWriter, error) {
	options := []zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false)}
	if len(dict) > 0 {
		options = append(options, zstd.WithEncoderDictRaw(dictionaryID, dict))
	}
	enc, err := zstd.NewWriter(nil, options...)
	if err != nil {
		return nil, err
	}
	_, err = out.Write(dict)
	return &storedWriter{out: out, enc: enc, dict: dict}, err
}

func (w *storedWriter) add(p *retrieve.Passage) error {
	flags, id := byte(0), p.ID
	if p.First {
		flags |= flagFirst
	}
	if prefix, ok := strings.CutSuffix(id, offsetSuffix(p.Offset)); ok {
		flags, id = flags|flagIDOffset, prefix
	}
	b := binary.AppendUvarint(w.pending, uint64(p.Offset))
	b = append(b, flags)
	for _, s := range []string{id, p.Title, p.Source, p.Text} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	w.pending = b
	w.next++
	if len(b) < storedBlock {
		return nil
	}
	return w.flush()
}

func offsetSuffix(offset int64) string { return "#" + strconv.FormatInt(offset, 10) }

func (w *storedWriter) flush() error {
	if w.next == w.first {
		return nil
	}
	w.packed = w.enc.EncodeAll(w.pending, w.packed[:0])
	w.pending = w.pending[:0]
	return w.addPacked(w.packed, w.next-w.first)
}

// addPacked appends a compressed block of n passages.
func (w *storedWriter) addPacked(packed []byte, n uint32) error {
	w.table = binary.LittleEndian.AppendUint32(w.table, w.first)
	w.table = binary.LittleEndian.AppendUint64(w.table, uint64(w.out.n))
	w.first += n
	w.next = w.first
	_, err := w.out.Write(packed)
	return err
}

func (w *storedWriter) finish() (fileSum, error) {
	defer w.enc.Close()
	if err := w.flush(); err != nil {
		return fileSum{}, err
	}
	at := uint64(w.out.n)
	tail := binary.LittleEndian.AppendUint32(w.table, uint32(len(w.dict)))
	tail = binary.LittleEndian.AppendUint32(tail, uint32(len(w.table)/storedEntry))
	tail = binary.LittleEndian.AppendUint64(tail, at)
	if _, err := w.out.Write(tail); err != nil {
		return fileSum{}, err
	}
	return w.out.finish()
}

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
	off, k := binary.Uvarint(b)
	if k <= 0 || len(b) == k {
		return p, nil, false
	}
	flags := b[k]
	p.Offset, p.First = int64(off), flags&flagFirst != 0
	b = b[k+1:]
	for _, s := range []*string{&p.ID, &p.Title, &p.Source, &p.Text} {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return p, nil, false
		}
		*s = string(b[k : k+int(n)])
		b = b[k+int(n):]
	}
	if flags&flagIDOffset != 0 {
		p.ID += offsetSuffix(p.Offset)
	}
	return p, b, true
}
