package bm25

import (
	"encoding/binary"
	"slices"
)

// code returns a pair's code, or 0.
func (t *codeTable) code(p pair) byte {
	r := &t.recent[(p.tf*37+p.length)%uint32(len(t.recent))]
	if r.pair != p {
		r.pair, r.code = p, t.byPair[p]
	}
	return r.code
}

// newCodeTable chooses the most frequent pairs.
func newCodeTable(counts map[pair]uint64) *codeTable {
	pairs := make([]pair, 0, len(counts))
	for p := range counts {
		pairs = append(pairs, p)
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		switch ca, cb := counts[a], counts[b]; {
		case ca != cb && ca > cb:
			return -1
		case ca != cb:
			return 1
		case a.tf != b.tf:
			return int(a.tf) - int(b.tf)
		}
		return int(a.length) - int(b.length)
	})
	t := &codeTable{byPair: map[pair]byte{}}
	for i, p := range pairs[:min(len(pairs), codes-1)] {
		t.pairs[i+1], t.counts[i+1] = p, counts[p]
		t.byPair[p] = byte(i + 1)
	}
	return t
}

// postingsWriter encodes one term after another.
type postingsWriter struct {
	out   *blockWriter
	table *codeTable
	err   error

	df     uint64
	start  int64
	prev   uint32 // last passage written, or -1
	docs   []uint32
	pairs  []pair
	skips  []byte
	block  []byte
	header []byte
}

func newPostingsWriter(out *blockWriter, table *codeTable) *postingsWriter {
	return &postingsWriter{out: out, table: table, prev: ^uint32(0), start: out.n}
}

// add appends a passage to the present term; passages ascend.
func (w *postingsWriter) add(doc uint32, p pair) {
	w.docs = append(w.docs, doc)
	w.pairs = append(w.pairs, p)
	if len(w.docs) == postingsBlock {
		w.flush()
	}
}

// flush writes the present block.
func (w *postingsWriter) flush() {
	prev, largest := w.prev, uint32(0)
	for _, d := range w.docs {
		largest = max(largest, d-prev)
		prev = d
	}
	width := 1
	for width < 4 && largest>>(8*width) != 0 {
		width++
	}
	b := append(w.block[:0], byte(width))
	prev = w.prev
	for _, d := range w.docs {
		delta := d - prev
		for i := range width {
			b = append(b, byte(delta>>(8*i)))
		}
		prev = d
	}
	largestTF, least := uint32(0), ^uint32(0)
	for _, p := range w.pairs {
		b = append(b, w.table.code(p))
		largestTF, least = max(largestTF, p.tf), min(least, p.length)
	}
	for _, p := range w.pairs {
		if w.table.code(p) == 0 {
			b[0] |= escapes
			b = binary.AppendUvarint(b, uint64(p.tf))
		}
	}
	w.write(b)
	w.skips = binary.LittleEndian.AppendUint32(w.skips, prev)
	w.skips = binary.LittleEndian.AppendUint32(w.skips, uint32(w.out.n-w.start))
	w.skips = append(w.skips, byte(min(largestTF, 255)), encodeLength(least))
	w.df += uint64(len(w.docs))
	w.prev, w.block = prev, b
	w.docs, w.pairs = w.docs[:0], w.pairs[:0]
}

func (w *postingsWriter) write(b []byte) {
	if _, err := w.out.Write(b); err != nil && w.err == nil {
		w.err = err
	}
}

// endTerm writes the header and returns its place, and false for a term that
// no passage has.
func (w *postingsWriter) endTerm() (at uint64, ok bool, err error) {
	if len(w.docs) > 0 {
		w.flush()
	}
	ok = w.df > 0
	if ok {
		at = uint64(w.out.n)
		h := binary.AppendUvarint(w.header[:0], w.df)
		h = binary.AppendUvarint(h, uint64(w.out.n-w.start))
		w.write(h)
		w.write(w.skips)
		w.header = h
	}
	w.df, w.prev, w.start, w.skips = 0, ^uint32(0), w.out.n, w.skips[:0]
	return at, ok, w.err
}
