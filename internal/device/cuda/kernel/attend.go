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
	Parts    driver.Ptr // room for AttendFew: PartBytes
	Counters driver.Ptr // uint32 [CountersFor], zeros before and after; AttendFew
	Count    int32      // groups
	MaxRows  int32      // at least the rows of any group; AttendFew: the rows that Parts has room for
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
	_         int32
	// Fresh is for AttendFew: if it has keys, the groups' rows are turned and stored by the
	// same kernel, with the bits of Rotate, and Q is not read. Only where no group sees what
	// another's rows write, and all rows' own entries are in their views' last spans.
	Fresh Rotate
}

// PartBytes returns the room that AttendFew needs for groups of up to so many rows and splits.
func PartBytes(groups, maxRows, maxSplits, heads, kvHeads, headDim int) int64 {
	pairs := min(tileRows, maxRows*(heads/kvHeads))
	return int64(CountersFor(groups, maxRows, heads, kvHeads)) * int64(pairs) * int64(maxSplits) * int64(ceil(headDim, 16)*16+4) * 4
}

// CountersFor returns how many counters AttendFew needs.
func CountersFor(groups, maxRows, heads, kvHeads int) int {
	return groups * kvHeads * ceil(maxRows*(heads/kvHeads), tileRows)
}

// tileRows is how many pairs (row, head) share the keys of a KV head in one tile of products.
const tileRows = 16

// AttendFew is for groups of few rows: a block takes one split, and the last that is ready
// adds them in order. The bits are those of AttendMany.
func (s *Set) AttendFew(stream driver.Stream, p *Attend, early bool) error {
	tiles := ceil(int(p.MaxRows*p.Heads/p.KVHeads), tileRows)
	return s.launch(stream, attendName("attend_few", p), [3]int{int(p.MaxSplit), int(p.KVHeads) * tiles, int(p.Count)}, 128, attendShared(int(p.HeadDim)), early, p)
}

// AttendMany is for groups of many rows: a block takes 64 pairs (row, head) and walks
// through all splits.
func (s *Set) AttendMany(stream driver.Stream, p *Attend, early bool) error {
	tiles := ceil(int(p.MaxRows*p.Heads/p.KVHeads), 4*tileRows)
	return s.launch(stream, attendName("attend_many", p), [3]int{tiles, int(p.KVHeads), int(p.Count)}, 128, attendShared(int(p.HeadDim)), early, p)
}

// attendShared is the shared memory of a split's keys and values.
func attendShared(headDim int) int { return 2 * SplitKeys * ceil(headDim, 16) * 16 * 2 }

// attendName names the kernel for a width of heads.
func attendName(name string, p *Attend) string {
	width := 64
	for width < int(p.HeadDim) {
		width *= 2
	}
	return fmt.Sprintf("%s_%d", name, width)
}

// AttendFewRows is how many pairs (row, head) of one KV head a group may have for AttendFew to
// be the faster one: rows · heads / KV heads.
const AttendFewRows = 16
