package bm25

import (
	"encoding/binary"
)

// A term's postings are blocks of up to 128 passages, then a header that the
// dictionary points to:
//
//	blocks | df (varint) | bytes of blocks (varint) | skip entry a block
//
// A block stores for each passage the distance from the one before it, in 1, 2,
// 3 or 4 bytes as its largest needs, then one code a passage. A code names a
// pair (term frequency, passage length) of the segment's code table, which
// makes scoring a posting one table lookup; code 0 stands for a pair that the
// table lacks, whose frequencies follow as varints.
//
//	width and flag (1) | width bytes a passage | 1 code a passage | varints
const (
	postingsBlock = 128
	escapes       = 0x80 // flag in a block's first byte: it has codes 0
	skipSize      = 10   // last passage (4), end of block (4), largest tf (1), least length (1)
	codes         = 256
)

// pair is a term's frequency in a passage and that passage's length as scored.
type pair struct{ tf, length uint32 }

// codeTable assigns codes to the most frequent pairs; entry 0 is unused.
type codeTable struct {
	pairs  [codes]pair
	counts [codes]uint64
	byPair map[pair]byte
	recent [1024]struct { // answers of byPair
		pair pair
		code byte
	}
}

// postings is one term's list in one segment.
type postings struct {
	seg    *segment
	df     uint64
	start  uint64 // of the blocks in the postings file
	skips  []byte
	blocks int
}

// open reads the header at a place that the dictionary names.
func (l *postings) open(seg *segment, at uint64) error {
	f := seg.postings
	head, err := f.bytes(at, min(2*binary.MaxVarintLen64, uint64(len(f.data))-min(at, uint64(len(f.data)))))
	if err != nil {
		return err
	}
	df, n := binary.Uvarint(head)
	if n <= 0 || df == 0 || df > uint64(seg.docs) {
		return damagedf(f.path, "a term at byte %d has no sensible count", at)
	}
	size, m := binary.Uvarint(head[n:])
	if m <= 0 || size > at {
		return damagedf(f.path, "a term at byte %d has no sensible size", at)
	}
	l.seg, l.df, l.start = seg, df, at-size
	l.blocks = int((df + postingsBlock - 1) / postingsBlock)
	l.skips, err = f.bytes(at+uint64(n+m), uint64(l.blocks)*skipSize)
	return err
}

// lastDoc returns block i's last passage.
func (l *postings) lastDoc(i int) uint32 { return binary.LittleEndian.Uint32(l.skips[i*skipSize:]) }

// bound returns the largest frequency, 255 standing for any above too, and the
// least length, as Lucene's byte, in block i.
func (l *postings) bound(i int) (tf, length byte) {
	return l.skips[i*skipSize+8], l.skips[i*skipSize+9]
}

// block returns what block i stores.
func (l *postings) block(i int) (b block, err error) {
	from := uint64(0)
	b.prev = ^uint32(0)
	if i > 0 {
		from = uint64(binary.LittleEndian.Uint32(l.skips[i*skipSize-6:]))
		b.prev = l.lastDoc(i - 1)
	}
	to := uint64(binary.LittleEndian.Uint32(l.skips[i*skipSize+4:]))
	n := postingsBlock
	if i == l.blocks-1 {
		n = int(l.df-1)%postingsBlock + 1
	}
	if to < from {
		return b, l.damaged(i)
	}
	data, err := l.seg.postings.bytes(l.start+from, to-from)
	if err != nil {
		return b, err
	}
	if len(data) == 0 {
		return b, l.damaged(i)
	}
	b.width = int(data[0] &^ escapes)
	if b.width < 1 || b.width > 4 || len(data) < 1+n*(b.width+1) {
		return b, l.damaged(i)
	}
	b.deltas = data[1 : 1+n*b.width]
	b.codes = data[1+n*b.width : 1+n*(b.width+1)]
	b.escaped = data[1+n*(b.width+1):]
	return b, nil
}

func (l *postings) damaged(block int) error {
	return damagedf(l.seg.postings.path, "block %d of the term at byte %d does not decode", block, l.start)
}

// block is an undecoded block.
type block struct {
	prev    uint32 // the passage before the block's first
	width   int    // bytes a delta
	deltas  []byte
	codes   []byte
	escaped []byte // frequencies of the codes 0
}

// decodeDocs appends the block's passages to dst.
func (b *block) decodeDocs(dst []uint32) []uint32 {
	doc := b.prev
	switch b.width {
	case 1:
		for _, d := range b.deltas {
			doc += uint32(d)
			dst = append(dst, doc)
		}
	case 2:
		for i := 0; i+2 <= len(b.deltas); i += 2 {
			doc += uint32(binary.LittleEndian.Uint16(b.deltas[i:]))
			dst = append(dst, doc)
		}
	case 3:
		for i := 0; i+3 <= len(b.deltas); i += 3 {
			doc += uint32(b.deltas[i]) | uint32(b.deltas[i+1])<<8 | uint32(b.deltas[i+2])<<16
			dst = append(dst, doc)
		}
	default:
		for i := 0; i+4 <= len(b.deltas); i += 4 {
			doc += binary.LittleEndian.Uint32(b.deltas[i:])
			dst = append(dst, doc)
		}
	}
	return dst
}

// each calls f with every posting of the list in order.
func (l *postings) each(f func(doc uint32, p pair) error) error {
	var docs [postingsBlock]uint32
	last := int64(-1)
	for i := range l.blocks {
		b, err := l.block(i)
		if err != nil {
			return err
		}
		for j, doc := range b.decodeDocs(docs[:0]) {
			if int64(doc) <= last || doc >= l.seg.docs {
				return l.damaged(i)
			}
			last = int64(doc)
			p := l.seg.table.pairs[b.codes[j]]
			if b.codes[j] == 0 {
				if p, err = l.escape(i, &b, doc); err != nil {
					return err
				}
			}
			if err := f(doc, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// escape takes the next escaped frequency of b, which is doc's.
func (l *postings) escape(i int, b *block, doc uint32) (pair, error) {
	tf, n := binary.Uvarint(b.escaped)
	if n <= 0 || tf == 0 || tf > 1<<31 {
		return pair{}, l.damaged(i)
	}
	b.escaped = b.escaped[n:]
	return pair{uint32(tf), l.seg.length(doc)}, nil
}
