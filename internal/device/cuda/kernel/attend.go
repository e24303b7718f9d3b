package kernel

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
)

// SplitKeys is how many keys a split has at most. Splits are counted from the start of
// each span of a view.
const SplitKeys = 128

// PageTokens is how many tokens a page has; SplitKeys/PageTokens pages are a split.
const PageTokens = 32

// KV is where the keys and values of a layer are. A page of a layer is keys and then values,
// each [KVHeads][headDim/8][PageTokens][8] of f16, headDim filled up to a multiple of 16.
type KV struct {
	Base       driver.Ptr // of the layer in page 0
	PageStride uint64     // bytes from one page to the next
}

// PageBytes returns how much a layer's part of a page takes.
func PageBytes(kvHeads, headDim int) int64 {
	return 2 * int64(kvHeads) * int64(ceil(headDim, 16)*16) * PageTokens * 2
}

// Split is up to SplitKeys keys of a span, as the card reads it.
type Split struct {
	Pages    [SplitKeys / PageTokens]int32 // those that are not read may be anything
	Count    int32                         // keys
	Diagonal int32                         // row r of the group sees keys 0 … Diagonal+r; Everything: all
	Position int32                         // of the first key
	Flags    SplitFlags
}

// SplitFlags say more of a split.
type SplitFlags int32

// The flags.
const (
	// Whole splits are seen whatever the window is.
	Whole SplitFlags = 1 << iota
	// Settled splits have no key that this forward writes, so that they are read while the
	// kernels in front still run.
	Settled
)

// Everything is the diagonal of splits that the rows do not write to themselves.
const Everything = 1 << 30

// Group is consecutive rows of a forward with the same view, as the card reads it.
type Group struct {
	First      int32 // row of the forward
	Count      int32 // rows
	Splits     int32 // first of its splits in the list
	SplitCount int32 // how many it has
	Position   int32 // of the first row; row r is at Position+r
	_          [3]int32
}

// Rotate turns queries and keys to their positions, rounds them to f16 and stores keys
// and values in the pages.
type Rotate struct {
	KV        KV
	Q, K, V   driver.Ptr // f32 [Rows, QStride], [Rows, KStride], [Rows, VStride]
	To        driver.Ptr // queries, f16 [Rows, Heads, head dim to a multiple of 16]
	Cos, Sin  driver.Ptr // f32 [Rows, Pairs], or 0: nothing is turned
	Slots     driver.Ptr // int32 [Rows]: page·PageTokens + entry of the page, -1: store nothing
	Rows      int32
	QStride   int32
	KStride   int32
	VStride   int32
	Heads     int32
	KVHeads   int32
	HeadDim   int32
	Pairs     int32 // of each head, that are turned
	TurnWidth int32 // elements from one row of Cos to the next
	Halves    int32 // 1: a pair is elements i and Pairs+i; 0: 2i and 2i+1
}

// Rotate launches it.
func (s *Set) Rotate(stream driver.Stream, p *Rotate, early bool) error {
	heads := int(p.Heads + 2*p.KVHeads)
	return s.launch(stream, "rotate", [3]int{ceil(heads, 4), int(p.Rows), 1}, 128, 0, early, p)
}

// Attend is the attention of rows over the splits of their groups.
type Attend struct {
	KV       KV
	Q        driver.Ptr // as Rotate wrote them
	Out      driver.Ptr // 16 bits [rows, OutStride]
	Groups   driver.Ptr // [Groups]Group
	Splits   driver.Ptr // []Split
	Parts    driver.Ptr // as many bytes as FewRoom or ManyRoom says
	Counters driver.Ptr // so many bytes as well, zeros before and after
	Count    int32      // groups
	MaxRows  int32      // at least the rows of any group
	MaxSplit int32      // at least the splits of any group
	Heads    int32
	KVHeads  int32
	HeadDim  int32
	// OutStride is the elements from one row of Out to the next; the head dim is not filled
	// up there.
	OutStride int32
	Window    int32 // 0: none
	Scale     float32
	SoftCap   float32 // 0: none
	Half      int32   // of Out: 1 f16, 2 bf16
	apart     int32   // 1: AttendMany adds runs that blocks have taken apart
	// Fresh is for AttendFew: if it has keys, the groups' rows are turned and stored by the
	// same kernel, with the bits of Rotate, and Q is not read. Only where no group sees what
	// another's rows write, and all rows' own entries are in their views' last spans.
	Fresh Rotate
}

// Splits of a run, so many from a view's start on, are added before runs are. Pairs (row, head) of
// a KV head come in tiles of so many for a block.
const (
	runSplits = 4
	fewPairs  = 16  // of AttendFew
	manyPairs = 64  // of AttendMany
	widePairs = 128 // of AttendMany with wgmma
)

// pairs returns how many pairs (row, head) of a KV head a group has at most.
func (p *Attend) pairs() int { return int(p.MaxRows * (p.Heads / p.KVHeads)) }

// width returns the columns of a head as they are stored.
func (p *Attend) width() int { return ceil(int(p.HeadDim), 16) * 16 }

// tiles returns the tiles of so many pairs, of all groups and KV heads.
func (p *Attend) tiles(pairs int) int { return int(p.Count) * int(p.KVHeads) * ceil(p.pairs(), pairs) }

// keptBytes is what the sums of 64 pairs take.
func (p *Attend) keptBytes() int { return (p.template()/8 + 1) * 128 * 16 }

// runs returns how many runs a view has at most.
func (p *Attend) runs() int { return ceil(int(p.MaxSplit), runSplits) }

// FewRoom returns the bytes of Parts and Counters that AttendFew needs.
func (s *Set) FewRoom(p *Attend) (parts, counters int64) {
	tiles := int64(p.tiles(fewPairs))
	return tiles * int64(min(fewPairs, p.pairs())) * int64(p.MaxSplit) * int64(p.width()+4) * 4, tiles * 4
}

// AttendFew is for groups of few rows: a block takes one split, and the last that is ready
// adds them in order. The bits are those of AttendMany.
func (s *Set) AttendFew(stream driver.Stream, p *Attend, early bool) error {
	tiles := ceil(p.pairs(), fewPairs)
	return s.launch(stream, attendName("attend_few", p), [3]int{int(p.MaxSplit), int(p.KVHeads) * tiles, int(p.Count)}, 128, 2*SplitKeys*p.width()*2, early, p)
}

// wide reports whether wgmma multiplies heads, and whether runs are taken apart: where there are
// too few tiles to keep a card busy.
func (s *Set) wide(p *Attend) (wide, apart bool) {
	if !s.hopper() || p.width() != 64 && p.width() != 128 {
		return false, false
	}
	return true, p.runs() > 1 && 2*p.tiles(widePairs) < 3*s.card.Multiprocessors
}

// ManyRoom returns the bytes of Parts and Counters that AttendMany needs.
func (s *Set) ManyRoom(p *Attend) (parts, counters int64) {
	kept := int64(p.keptBytes())
	switch wide, apart := s.wide(p); {
	case apart:
		tiles := 2 * int64(p.tiles(widePairs)) // of a team
		return tiles * int64(p.runs()) * kept, tiles * 4
	case wide || p.runs() <= 1:
		return 0, 0
	}
	return int64(p.tiles(manyPairs)) * kept, 0
}

// AttendMany is for groups of many rows: a block takes pairs (row, head) and walks
// through all splits, or through those of a run.
func (s *Set) AttendMany(stream driver.Stream, p *Attend, early bool) error {
	slot, row := SplitKeys*p.width()*2, p.template()*2+16
	wide, apart := s.wide(p)
	if !wide {
		return s.launch(stream, attendName("attend_many", p), [3]int{ceil(p.pairs(), manyPairs), int(p.KVHeads), int(p.Count)}, 128, 2*slot+manyPairs*row, early, p)
	}
	c := *p
	blocks, shared := p.tiles(widePairs), 3*slot+widePairs*row
	if apart {
		c.apart = 1
		blocks *= p.runs()
	} else {
		shared += 2 * p.keptBytes()
	}
	return s.launch(stream, attendName("attend_wide", p), [3]int{min(blocks, s.card.Multiprocessors), 1, 1}, 384, shared, early, &c)
}

// template returns the width that a kernel's code is for.
func (p *Attend) template() int {
	width := 64
	for width < int(p.HeadDim) {
		width *= 2
	}
	return width
}

// attendName names the kernel for a width of heads.
func attendName(name string, p *Attend) string { return fmt.Sprintf("%s_%d", name, p.template()) }

// AttendFewRows is how many pairs (row, head) of one KV head a group may have for AttendFew to
// be the faster one: rows · heads / KV heads.
const AttendFewRows = 8

// FreshRows is how many rows a group may have for AttendFew to turn and store them as fast as
// Rotate does.
const FreshRows = 2
