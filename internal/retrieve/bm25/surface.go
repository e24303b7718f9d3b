package bm25

import "encoding/binary"

// surfaceTable maps tokens as they stand in the text to terms. A token of up to
// 15 bytes is, with its length, two words of the machine, so that finding it takes
// no hashing byte by byte and no comparison of strings.
type surfaceTable struct {
	slots []surfaceSlot // open addressing; high is 0 where one is free
	n     int
	long  map[string]uint32
}

type surfaceSlot struct {
	low, high uint64 // the first eight bytes; the next seven and the length
	term      uint32
}

const surfaceShort = 15

func newSurfaceTable() surfaceTable {
	return surfaceTable{slots: make([]surfaceSlot, 1<<12), long: map[string]uint32{}}
}

// packToken returns text[from:to], of up to surfaceShort bytes, as two words.
func packToken(text string, from, to int) (low, high uint64) {
	n := to - from
	var b [16]byte
	if from+16 <= len(text) {
		copy(b[:], text[from:from+16])
	} else {
		copy(b[:], text[from:to])
	}
	low, high = binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
	if n <= 8 {
		// A shift by 64 or more gives 0 in Go.
		return low & (1<<(8*n) - 1), uint64(n) << 56
	}
	return low, high&(1<<(8*(n-8))-1) | uint64(n)<<56
}

// find returns the slot where a packed token is or belongs.
func (t *surfaceTable) find(low, high uint64) *surfaceSlot {
	mask := uint64(len(t.slots) - 1)
	h := (low ^ high*0xff51afd7ed558ccd) * 0x9e3779b97f4a7c15
	for i := h >> 32; ; i++ {
		s := &t.slots[i&mask]
		if s.high == 0 || s.low == low && s.high == high {
			return s
		}
	}
}

// add notes the term of a token that the table lacks.
func (t *surfaceTable) add(low, high uint64, term uint32) {
	if t.n++; 2*t.n > len(t.slots) {
		old := t.slots
		t.slots = make([]surfaceSlot, 2*len(old))
		for _, s := range old {
			if s.high != 0 {
				*t.find(s.low, s.high) = s
			}
		}
	}
	*t.find(low, high) = surfaceSlot{low, high, term}
}
