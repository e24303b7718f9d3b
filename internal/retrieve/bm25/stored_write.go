package bm25

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/flashback-lm/flashback/internal/retrieve"
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
	placed := p.Page != 0 || p.Line != 0 || p.Heading != ""
	if placed {
		flags |= flagPlace
	}
	b := binary.AppendUvarint(w.pending, uint64(p.Offset))
	b = append(b, flags)
	if placed {
		b = binary.AppendUvarint(b, uint64(p.Page))
		b = binary.AppendUvarint(b, uint64(p.Line))
		b = appendString(b, p.Heading)
	}
	for _, s := range []string{id, p.Title, p.Source, p.Text} {
		b = appendString(b, s)
	}
	w.pending = b
	w.next++
	if len(b) < storedBlock {
		return nil
	}
	return w.flush()
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
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
