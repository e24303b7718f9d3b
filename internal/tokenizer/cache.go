package tokenizer

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"
)

// pieceCache remembers the ids of the pieces met last. It is a table without chains: a piece has one slot, and the last
// one stored there wins. So its size is bounded, and readers and writers need no lock.
type pieceCache struct {
	seed  maphash.Seed
	slots [1 << 15]atomic.Pointer[knownPiece]
}

// knownPiece is a piece of text with its ids; it never changes.
type knownPiece struct {
	text string
	ids  []int32
}

// maxCachedBytes keeps long runs out of the cache: they seldom come twice.
const maxCachedBytes = 32

func newPieceCache() *pieceCache { return &pieceCache{seed: maphash.MakeSeed()} }

// slot is the place of a piece in the table.
func (c *pieceCache) slot(piece string) *atomic.Pointer[knownPiece] {
	if len(piece) > maxCachedBytes {
		return &c.slots[0]
	}
	return &c.slots[maphash.String(c.seed, piece)%uint64(len(c.slots))]
}

// store keeps copies of a piece and its ids, so that neither holds the caller's memory.
func (c *pieceCache) store(slot *atomic.Pointer[knownPiece], piece string, ids []int32) {
	if len(piece) <= maxCachedBytes {
		slot.Store(&knownPiece{strings.Clone(piece), slices.Clone(ids)})
	}
}
