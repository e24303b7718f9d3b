package cpu

import (
	"math"

	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/kvcache"
)

// Attention in 16-bit integers, where keys and values are stored so. Queries are
// rounded once; the weights of a block once, times the scales of its values. Sums are
// exact in int32, so that no result depends on the rows beside it. The softmax is in
// powers of two.

type int16Scratch struct {
	q       []int16              // [tile rows, headDim]
	qScales []float32            // [tile rows]
	by      [stripTokens]float32 // scales of the strip's values, 0 behind its end
	p       []int16              // [tile rows, stripTokens]
	pScales []float32            // [blocks of a strip, tile rows]
	key     []int16              // [headDim], to be stored
	scale   [1]float32           // its scale
}

// codeQueries rounds the queries that gather collected, to codes whose products with
// those of keys add up to 32 bits.
func (t *attendTask) codeQueries(s *attendScratch, rows int) {
	hd, c := t.shape.HeadDim, &s.int16
	most := min(math.MaxInt16, math.MaxInt32/(hd*kvcache.MostI16))
	t.d.kernels.Code16(grow(&c.q, rows*hd), hd, grow(&c.qScales, rows), s.q, hd, rows, hd, int16(most))
}

// stripInt16 is strip in integers.
func (t *attendTask) stripInt16(s *attendScratch, st *state, span *kvcache.Span, head, first, to, sees, low, tokens int) {
	k, hd, group, c := t.d.kernels, t.shape.HeadDim, t.group(), &s.int16
	rows, n := tokens*group, min(stripTokens, to-first)
	blocks, firstBlock := ceil(n, blockTokens), max(0, low-first)/blockTokens
	seen := sight{first, sees, low, tokens}
	begin, end := seen.from(0), seen.to(n-1)
	// last returns the last entry of a block.
	last := func(block int) int { return min((block+1)*blockTokens, n) - 1 }
	scores := grow(&s.scores, rows*stripTokens)
	var keys, values [stripTokens/blockTokens + 1]paired
	pages := span.Pages()[first/blockTokens:]
	for b := firstBlock; b < blocks; b++ {
		keys[b], values[b] = t.kv.pairedBlock(pages[b], t.layer, head)
	}
	if first+n < to { // read next, behind this strip
		values[blocks], _ = t.kv.pairedBlock(pages[blocks], t.layer, head)
	}
	keys[blocks] = values[firstBlock]
	for b := firstBlock; b < blocks; b++ {
		i, end := seen.from(b*blockTokens)*group, seen.to(last(b))*group
		if i >= end {
			continue
		}
		k.ScoresInt16(scores[i*stripTokens+b*blockTokens:], stripTokens, c.q[i*hd:], hd, c.qScales[i:],
			keys[b].codes, keys[b].scales, end-i, hd, keys[b+1].codes)
	}
	factor := float32(math.Log2E * t.shape.Scale)
	if t.shape.SoftCap != 0 {
		t.softCap(scores[begin*group*stripTokens:end*group*stripTokens], n)
		factor = math.Log2E
	}
	t.hideFront(scores, &seen, begin, end)

	clear(c.by[:firstBlock*blockTokens])
	for b := firstBlock; b < blocks; b++ {
		copy(c.by[b*blockTokens:], values[b].scales) // which came with the keys
	}
	clear(c.by[n:])
	p, scales := grow(&c.p, rows*stripTokens), grow(&c.pScales, blocks*rows)
	weigh := func(token, count, see int) {
		at := token * group
		blocks := ceil(see, blockTokens)
		for i := at; i < at+count*group && see < blocks*blockTokens; i++ {
			hide(scores[i*stripTokens:][see : blocks*blockTokens])
		}
		k.WeightsInt16(p[at*stripTokens:], stripTokens, scales[at:], rows, scores[at*stripTokens:], stripTokens,
			count*group, blocks, factor, c.by[:], st.max[at:], st.sum[at:], st.acc[at*hd:], hd)
	}
	whole := min(seen.from(n-1), end)
	for i := begin; i < whole; i++ {
		weigh(i, 1, sees+i-first)
	}
	if whole < end {
		weigh(whole, end-whole, n)
	}
	for token := seen.hiding(begin); token < end; token++ {
		for row := token * group; row < (token+1)*group; row++ {
			clear(p[row*stripTokens:][:seen.hidden(token)]) // codes of what is hidden may be 1
		}
	}

	for b := firstBlock; b < blocks; b++ {
		i, end := seen.from(b*blockTokens)*group, seen.to(last(b))*group
		if i >= end {
			continue
		}
		pairs := ceil(last(b)+1-b*blockTokens, 2)
		k.OutputsInt16(st.acc[i*hd:], hd, p[i*stripTokens+b*blockTokens:], stripTokens, scales[b*rows+i:],
			values[b].codes, end-i, pairs, hd, values[b+1].codes)
	}
}

// storeInt16 writes a key and a value to place at of a page.
func (t *storeTask) storeInt16(s *scratch, page int32, head, at int, k, v []float32) {
	c, hd := &s.attend.int16, len(k)
	codes := grow(&c.key, hd)
	keys, values := t.kv.pairedBlock(page, t.layer, head)
	code := func(x []float32) float32 {
		t.d.kernels.Code16(codes, hd, c.scale[:], x, hd, 1, hd, kvcache.MostI16)
		return c.scale[0]
	}
	keys.scales[at] = code(k)
	for d := 0; d < hd; d += 2 {
		pair := keys.codes[kernel.KeyInt16(at, d, hd):][:2]
		pair[0], pair[1] = codes[d], codes[d+1]
	}
	values.scales[at] = code(v)
	for d, x := range codes {
		values.codes[kernel.ValueInt16(at, d, hd)] = x
	}
}

// The weights' codes and those of values must not add up to more than 32 bits.
const _ = uint(math.MaxInt32 - kvcache.PageTokens*kernel.MostWeight*kvcache.MostI16)
