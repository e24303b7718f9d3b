package cpu

import (
	"unsafe"

	"github.com/flashback-lm/flashback/internal/kvcache"
)

// KV is the memory of a pool's pages. A page holds for each layer and head the keys
// [HeadDim, PageTokens] of its tokens, then the values [PageTokens, HeadDim]. Keys lie
// across, so that scores are sums of their rows as outputs are sums of the values'
// rows: neither folds the lanes of a vector. Codes of Q8 lie likewise; their scales lie
// across for both, [HeadDim/32, PageTokens]. I16 has codes as its products read them
// (kernel.KeyInt16, kernel.ValueInt16), and behind those of the keys the bits of both
// scales, [PageTokens] each, which a read of the keys so brings to the cache.
type KV struct {
	shape kvcache.Shape
	pages []page
}

// page is the memory of one page; the format says which of it is used.
type page struct {
	full   []float32
	half   []uint16
	codes  []int8
	pairs  []int16
	scales []float32
}

// scaleCodes is how many codes of I16 take the place of a scale.
const scaleCodes = 2

// NewKV returns the storage of up to so many pages. Each takes memory from its first
// use on.
func NewKV(shape kvcache.Shape, pages int) *KV { return &KV{shape, make([]page, pages)} }

// Shape returns the size and the format of one token's keys and values.
func (kv *KV) Shape() kvcache.Shape { return kv.shape }

// Pages returns how many pages there are at most.
func (kv *KV) Pages() int { return len(kv.pages) }

// Allocate makes the memory of a page.
func (kv *KV) Allocate(i int) {
	s, p := kv.shape, &kv.pages[i]
	heads := s.Layers * s.KVHeads * 2 * kvcache.PageTokens
	n := heads * s.HeadDim
	switch s.Format {
	case kvcache.F16:
		p.half = make([]uint16, n)
	case kvcache.Q8:
		p.codes, p.scales = make([]int8, n), make([]float32, heads*s.Scales())
	case kvcache.I16:
		p.pairs = make([]int16, n+heads*scaleCodes)
	default:
		p.full = make([]float32, n)
	}
}

// Copy makes page to hold what page from does.
func (kv *KV) Copy(to, from int) {
	t, f := &kv.pages[to], &kv.pages[from]
	copy(t.full, f.full)
	copy(t.half, f.half)
	copy(t.codes, f.codes)
	copy(t.pairs, f.pairs)
	copy(t.scales, f.scales)
}

// coded are keys or values of a block in Q8: codes as in a block, and scales
// [HeadDim/32, PageTokens].
type coded struct {
	codes  []int8
	scales []float32
}

// paired are keys or values of a block in I16, as kernel.KeyInt16 and kernel.ValueInt16
// say, and their scales [PageTokens].
type paired struct {
	codes  []int16
	scales []float32
}

// block returns the keys [HeadDim, PageTokens] and the values [PageTokens, HeadDim] in
// a page in f32, for one layer and head.
func (kv *KV) block(page int32, layer, head int) (k, v []float32) {
	return pair(kv.pages[page].full, kv.shape, layer, head, kv.shape.HeadDim)
}

// halfBlock is block in F16.
func (kv *KV) halfBlock(page int32, layer, head int) (k, v []uint16) {
	return pair(kv.pages[page].half, kv.shape, layer, head, kv.shape.HeadDim)
}

// codedBlock is block in Q8.
func (kv *KV) codedBlock(page int32, layer, head int) (k, v coded) {
	p := &kv.pages[page]
	k.codes, v.codes = pair(p.codes, kv.shape, layer, head, kv.shape.HeadDim)
	k.scales, v.scales = pair(p.scales, kv.shape, layer, head, kv.shape.Scales())
	return k, v
}

// pairedBlock is block in I16. Both scales stand between the codes of the keys and of
// the values: they are needed before the values are.
func (kv *KV) pairedBlock(page int32, layer, head int) (k, v paired) {
	keys, values := pair(kv.pages[page].pairs, kv.shape, layer, head, kv.shape.HeadDim+scaleCodes)
	const scales = kvcache.PageTokens * scaleCodes
	codes := len(keys) - scales
	return paired{keys[:codes:codes], floats(keys[codes:])}, paired{values[scales:], floats(values[:scales])}
}

// floats returns the scales of PageTokens tokens.
func floats(codes []int16) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(codes))), kvcache.PageTokens)
}

// pair cuts what a layer's and head's keys and values have out of a page, width
// for each token.
func pair[T any](data []T, s kvcache.Shape, layer, head, width int) (k, v []T) {
	size := kvcache.PageTokens * width
	at := (layer*s.KVHeads + head) * 2 * size
	return data[at : at+size : at+size], data[at+size : at+2*size : at+2*size]
}
