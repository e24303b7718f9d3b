package bm25

import (
	"math"
	"math/bits"
)

// BM25's parameters as the paper uses them (pyserini's).
const (
	DefaultK1 = 0.9
	DefaultB  = 0.4
)

// encodeLength stores a length in a byte as Lucene's SmallFloat.intToByte4 does:
// exact up to 40, then with three bits behind the leading one, rounded down.
func encodeLength(n uint32) byte {
	const free = 24 // values below are stored as they are
	n = min(n, math.MaxInt32)
	if n < free {
		return byte(n)
	}
	n -= free
	width := bits.Len32(n)
	if width < 4 {
		return byte(free + n)
	}
	shift := width - 4
	return byte(free + (n>>shift&7 | uint32(shift+1)<<3))
}

// decodeLength returns the least length that encodes to b.
func decodeLength(b byte) uint32 {
	const free = 24
	if b < free {
		return uint32(b)
	}
	v := uint32(b) - free
	mantissa, shift := v&7, v>>3
	if shift == 0 {
		return free + mantissa
	}
	return free + (mantissa|8)<<(shift-1)
}

// collection holds what BM25 needs to know of the whole index, deleted passages
// included until they are compacted away.
type collection struct {
	docs  uint64 // passages with at least one term
	terms uint64 // of all passages together
}

// idf is Lucene's: never negative.
func (c collection) idf(df uint64) float32 {
	return float32(math.Log(1 + (float64(c.docs)-float64(df)+0.5)/(float64(df)+0.5)))
}

// similarity is BM25 with its parameters bound to a collection.
type similarity struct {
	k1, b, averageLength float32
}

func (c collection) similarity(k1, b float64) similarity {
	average := float32(1)
	if c.docs > 0 {
		average = float32(float64(c.terms) / float64(c.docs))
	}
	return similarity{k1: float32(k1), b: float32(b), averageLength: average}
}

// unit is what a term of weight 1 adds to a passage of that length in which it
// occurs tf times; Lucene's w − w/(1+tf/K), which lies below w.
func (s similarity) unit(tf, length uint32) float32 {
	inverse := 1 / (s.k1 * ((1 - s.b) + s.b*float32(length)/s.averageLength))
	return 1 - 1/(1+float32(tf)*inverse)
}
