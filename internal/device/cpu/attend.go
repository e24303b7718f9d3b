package cpu

import (
	"math"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/kvcache"
)

// The attention of a query row reads each part of its view in splits of
// splitBlocks blocks, counted from the start of the span. A split is an online
// softmax of its own; the splits of all parts are then combined in order. That
// order is the same whether the splits ran one after another or on many
// threads, so a decoded row equals a prefilled one bit for bit.
const (
	blockTokens = kvcache.PageTokens
	splitBlocks = 8
	splitTokens = splitBlocks * blockTokens
	// stripTokens is how many keys share a step of the softmax: each step costs
	// some reductions, whatever it is long.
	stripTokens = 4 * blockTokens
	// directRows is the number of query rows up to which keys and values in f16
	// are read as they are: more rows share their expansion.
	directRows = 6
	// tileTokens to maxTileTokens tokens share a pass over the keys: as many as
	// leave each thread some tiles. No row's result depends on it.
	tileTokens, maxTileTokens = 16, 40
	// spreadTokens is the batch size up to which the splits of one tile are
	// spread over the threads: larger batches have tiles enough.
	spreadTokens = tileTokens
)

// state is an online softmax of some query rows: the maximum, the sum of
// exponentials and the weighted values, [rows], [rows], [rows, headDim].
type state struct {
	max, sum, acc []float32
}

func (s *state) grow(rows, headDim int) {
	s.max, s.sum, s.acc = grow(&s.max, rows), grow(&s.sum, rows), grow(&s.acc, rows*headDim)
}

func (s *state) reset() {
	for i := range s.max {
		s.max[i] = float32(math.Inf(-1))
	}
	clear(s.sum)
	clear(s.acc)
}

type attendScratch struct {
	q      []float32 // [tile rows, headDim]
	scores []float32 // [tile rows, stripTokens]
	split  state
	total  state

	weights  []float32 // [2, tile rows], of two splits in combine
	expanded []float32 // keys or values of a block that are stored in f16
	int16    int16Scratch
}

type attendTask struct {
	d      *Device
	shape  *device.Attention
	kv     *KV
	layer  int
	out, q []float32
	tiles  []tile
	spread bool
	int16  bool        // keys and values are integers: see attend_int16.go
	store  *storeTask  // writes what the last split of each head reads; nil: that is written
	units  []splitUnit // when spread
	parts  []state     // when spread: results of the units
}

// tile is some rows of one Rows.
type tile struct {
	rows         *device.Rows
	first, count int // tokens, counted from rows.First
	splits       int
	firstUnit    int // of head 0, when spread
}

type splitUnit struct {
	tile, head, split int
}

// Attend computes the attention of the batch: out and q are [tokens, Heads,
// HeadDim], keys already rotated and stored in the spans, whose pages are in kv.
func (d *Device) Attend(out, q []float32, kv *KV, layer int, shape *device.Attention, rows []device.Rows) {
	t := &d.attend
	t.shape, t.kv, t.layer, t.out, t.q = shape, kv, layer, out, q
	t.int16 = kv.shape.Format == kvcache.I16
	t.tiles = t.tiles[:0]
	tokens := 0
	for _, r := range rows {
		tokens += r.Count
	}
	most := min(max(tileTokens, tokens*shape.KVHeads/(4*d.pool.workers)), maxTileTokens)
	for i := range rows {
		r := &rows[i]
		size := ceil(r.Count, ceil(r.Count, most))
		for first := 0; first < r.Count; first += size {
			n := min(size, r.Count-first)
			t.tiles = append(t.tiles, tile{rows: r, first: first, count: n})
			tl := &t.tiles[len(t.tiles)-1]
			tl.splits = t.splits(tl)
		}
	}
	if t.spread = tokens <= spreadTokens && d.pool.workers > 1 && t.severalSplits(); !t.spread {
		d.pool.run(t, len(t.tiles)*shape.KVHeads)
		return
	}
	t.units = t.units[:0]
	for i := range t.tiles {
		t.tiles[i].firstUnit = len(t.units)
		for h := range shape.KVHeads {
			for s := range t.tiles[i].splits {
				t.units = append(t.units, splitUnit{i, h, s})
			}
		}
	}
	for len(t.parts) < len(t.units) {
		t.parts = append(t.parts, state{})
	}
	d.pool.run(t, len(t.units))
	d.pool.run(&d.merge, len(t.tiles)*shape.KVHeads)
}

// splits returns how many splits the tile's rows see.
func (t *attendTask) splits(tl *tile) int {
	splits := 0
	for _, p := range tl.rows.View {
		_, n := splitsOf(p.Len, t.low(tl, p))
		splits += n
	}
	_, n := splitsOf(tl.rows.SelfFirst+tl.first+tl.count, t.low(tl, kvcache.Part{Span: tl.rows.Self}))
	return splits + n
}

// splitsOf returns the first of the splits of n entries that has one from entry low on,
// and how many there are from it on.
func splitsOf(n, low int) (first, count int) {
	if low >= n {
		return 0, 0
	}
	first = max(0, low) / splitTokens
	return first, ceil(n, splitTokens) - first
}

// low returns the entry of a part from which on the tile's first token sees it; each
// further token sees it from an entry more on. It may be before the first entry.
func (t *attendTask) low(tl *tile, p kvcache.Part) int {
	if t.shape.Window == 0 || p.Whole {
		return math.MinInt32
	}
	r := tl.rows
	return r.Self.Start() + r.SelfFirst + tl.first - t.shape.Window + 1 - p.Span.Start()
}

// skip returns the beginning of the first strip, of those from an entry on, that is not
// wholly in front of low.
func skip(from, low int) int { return from + max(0, low-from)/stripTokens*stripTokens }

// severalSplits reports whether there is a tile whose splits can be shared out.
func (t *attendTask) severalSplits() bool {
	for i := range t.tiles {
		if t.tiles[i].splits > 1 {
			return true
		}
	}
	return false
}

func ceil(a, b int) int { return (a + b - 1) / b }

func (t *attendTask) run(worker, unit int) {
	s := &t.d.scratch[worker].attend
	if t.spread {
		u := t.units[unit]
		tl := &t.tiles[u.tile]
		t.gather(s, tl, u.head)
		part := &t.parts[unit]
		part.grow(tl.count*t.group(), t.shape.HeadDim)
		if t.store != nil && u.split == tl.splits-1 {
			t.store.run(worker, u.head)
		}
		t.split(s, tl, u.head, u.split, part)
		return
	}
	tl, head := &t.tiles[unit/t.shape.KVHeads], unit%t.shape.KVHeads
	t.gather(s, tl, head)
	if t.store != nil {
		t.store.run(worker, head)
	}
	n := tl.count * t.group()
	s.split.grow(n, t.shape.HeadDim)
	s.total.grow(n, t.shape.HeadDim)
	s.total.reset()
	for i := range tl.splits {
		t.split(s, tl, head, i, &s.split)
		t.combine(s, &s.total, &s.split)
	}
	t.finish(tl, head, &s.total)
}

// mergeTask combines the splits that ran apart.
type mergeTask struct{ d *Device }

func (m *mergeTask) run(worker, unit int) {
	t := &m.d.attend
	s := &m.d.scratch[worker].attend
	tl, head := &t.tiles[unit/t.shape.KVHeads], unit%t.shape.KVHeads
	s.total.grow(tl.count*t.group(), t.shape.HeadDim)
	s.total.reset()
	first := tl.firstUnit + head*tl.splits
	for i := range tl.splits {
		t.combine(s, &s.total, &t.parts[first+i])
	}
	t.finish(tl, head, &s.total)
}

// group returns the number of query heads that share a KV head.
func (t *attendTask) group() int { return t.shape.Heads / t.shape.KVHeads }

// gather copies the tile's queries of one KV head to [count·group, headDim].
func (t *attendTask) gather(s *attendScratch, tl *tile, head int) {
	width := t.group() * t.shape.HeadDim
	q := grow(&s.q, tl.count*width)
	for i := range tl.count {
		at := (tl.rows.First+tl.first+i)*t.shape.Heads*t.shape.HeadDim + head*width
		copy(q[i*width:(i+1)*width], t.q[at:])
	}
	if t.int16 {
		t.codeQueries(s, tl.count*t.group())
	}
}

// split runs the online softmax of one split into st.
func (t *attendTask) split(s *attendScratch, tl *tile, head, split int, st *state) {
	st.reset()
	r, strip := tl.rows, t.strip
	if t.int16 {
		strip = t.stripInt16
	}
	for _, p := range r.View {
		low := t.low(tl, p)
		first, n := splitsOf(p.Len, low)
		if split < n {
			from := (first + split) * splitTokens
			to := min(from+splitTokens, p.Len)
			for b := skip(from, low); b < to; b += stripTokens {
				strip(s, st, p.Span, head, b, to, to, low, tl.count)
			}
			return
		}
		split -= n
	}
	// Of the rows' own span the first token sees what was there and itself.
	low := t.low(tl, kvcache.Part{Span: r.Self})
	first, _ := splitsOf(r.SelfFirst+tl.first+tl.count, low)
	sees := r.SelfFirst + tl.first + 1
	from := (first + split) * splitTokens
	to := min(from+splitTokens, sees+tl.count-1)
	for b := skip(from, low); b < to; b += stripTokens {
		strip(s, st, r.Self, head, b, to, sees, low, tl.count)
	}
}

// strip adds a strip's keys to st: those of the span from entry first on, up to
// entry to at most. The first token of the tile sees the span's entries from low to
// sees-1, each further one those an entry later, and the last at least one of the strip.
// What a token does not see adds nothing to its softmax: blocks in front of low are not
// even read.
func (t *attendTask) strip(s *attendScratch, st *state, span *kvcache.Span, head, first, to, sees, low, tokens int) {
	k, hd, group := t.d.kernels, t.shape.HeadDim, t.group()
	rows, n := tokens*group, min(stripTokens, to-first)
	direct := rows <= directRows && hd%8 == 0
	seen := sight{first, sees, low, tokens}
	begin, end := seen.from(0), seen.to(n-1)
	scores := grow(&s.scores, rows*stripTokens)
	clear(scores)
	firstBlock := max(0, low-first) / blockTokens * blockTokens
	firstKeys, firstValues := t.operands(span, head, first+firstBlock)
	for b, keys := firstBlock, firstKeys; b < n; b += blockTokens {
		next := firstValues
		if b+blockTokens < n {
			next, _ = t.operands(span, head, first+b+blockTokens)
		}
		// All columns of the keys, whole vectors; nobody looks at scores past the end.
		i, end := seen.from(b)*group, seen.to(min(b+blockTokens, n)-1)*group
		if i < end {
			t.score(scores[i*stripTokens+b:], s.q[i*hd:], t.expand(s, keys, hd*blockTokens, direct), end-i, next)
		}
		keys = next
	}
	scale := float32(t.shape.Scale)
	if t.shape.SoftCap != 0 {
		t.softCap(scores[begin*group*stripTokens:end*group*stripTokens], n)
		scale = 1
	}
	t.hideFront(scores, &seen, begin, end)
	softmax := func(token, count, see int) {
		at := token * group
		k.SoftmaxRows(scores[at*stripTokens:], stripTokens, count*group, see, scale, st.max[at:], st.sum[at:], st.acc[at*hd:], hd)
	}
	whole := min(seen.from(n-1), end)
	for i := begin; i < whole; i++ {
		softmax(i, 1, sees+i-first)
	}
	if whole < end {
		softmax(whole, end-whole, n)
	}
	for b, values := firstBlock, firstValues; b < n; b += blockTokens {
		var next operand
		if b+blockTokens < n {
			_, next = t.operands(span, head, first+b+blockTokens)
		} else if first+n < to {
			next, _ = t.operands(span, head, first+n)
		}
		block := min(blockTokens, n-b)
		ready := t.expand(s, values, block*hd, direct)
		end := seen.to(b + block - 1)
		whole := min(seen.from(b+block-1), end)
		for i := seen.from(b); i < whole; i++ { // tokens that see no more than the beginning of the block
			at := i * group
			t.weigh(st.acc[at*hd:], scores[at*stripTokens+b:], ready, group, sees+i-first-b, operand{})
		}
		if at := whole * group; whole < end {
			t.weigh(st.acc[at*hd:], scores[at*stripTokens+b:], ready, (end-whole)*group, block, next)
		}
		values = next
	}
}

// sight says which tokens of a tile see the entries of a strip from first on, counted
// from there.
type sight struct{ first, sees, low, tokens int }

// from returns the first token that sees an entry or one before it.
func (s *sight) from(entry int) int { return max(0, s.first+entry+1-s.sees) }

// to returns the first token behind those that see an entry or one after it.
func (s *sight) to(entry int) int { return min(s.tokens, s.first+entry+1-s.low) }

// hiding returns the first token, from one on, whose window has left entries of the
// strip behind.
func (s *sight) hiding(token int) int { return max(token, s.first+1-s.low) }

// hidden returns how many entries of the strip such a token's window has left behind.
func (s *sight) hidden(token int) int { return s.low + token - s.first }

// hideFront makes the scores of what windows have left behind weigh nothing, for tokens
// from begin to end-1.
func (t *attendTask) hideFront(scores []float32, seen *sight, begin, end int) {
	for token := seen.hiding(begin); token < end; token++ {
		for row := token * t.group(); row < (token+1)*t.group(); row++ {
			hide(scores[row*stripTokens:][:seen.hidden(token)])
		}
	}
}

// hide makes scores weigh nothing.
func hide(scores []float32) {
	for i := range scores {
		scores[i] = float32(math.Inf(-1))
	}
}

// softCap scales the first n scores of rows of a strip, and caps them.
func (t *attendTask) softCap(rows []float32, n int) {
	most := t.shape.SoftCap
	for ; len(rows) > 0; rows = rows[stripTokens:] {
		for i, score := range rows[:n] {
			rows[i] = float32(most * math.Tanh(float64(score)*t.shape.Scale/most))
		}
	}
}

// operand is the keys or the values of a block, in one of the formats.
type operand struct {
	full  []float32
	half  []uint16
	coded coded
}

// operands returns the keys and the values of the block that begins at an entry.
func (t *attendTask) operands(span *kvcache.Span, head, entry int) (keys, values operand) {
	page := span.Pages()[entry/blockTokens]
	switch t.kv.shape.Format {
	case kvcache.F16:
		keys.half, values.half = t.kv.halfBlock(page, t.layer, head)
	case kvcache.Q8:
		keys.coded, values.coded = t.kv.codedBlock(page, t.layer, head)
	default:
		keys.full, values.full = t.kv.block(page, t.layer, head)
	}
	return keys, values
}

// expand returns m in the form that score and weigh are to read: f16 stays where
// the rows are few, else its first n numbers become f32.
func (t *attendTask) expand(s *attendScratch, m operand, n int, direct bool) operand {
	if m.half == nil || direct {
		return m
	}
	full := grow(&s.expanded, n)
	t.d.kernels.FromHalf(full, m.half[:n])
	return operand{full: full}
}

// score adds the products of m queries with the keys of a block to their scores.
func (t *attendTask) score(scores, q []float32, keys operand, m int, next operand) {
	k, hd := t.d.kernels, t.shape.HeadDim
	switch {
	case keys.coded.codes != nil:
		k.ScoresInt8(scores, stripTokens, q, hd, keys.coded.codes, keys.coded.scales, m, hd, next.coded.codes)
	case keys.half != nil:
		k.AccumulateHalf(scores, stripTokens, q, hd, keys.half, m, hd, blockTokens, next.half)
	default:
		k.Accumulate(scores, stripTokens, q, hd, keys.full, blockTokens, m, hd, blockTokens)
	}
}

// weigh adds to m rows of acc the first n values of a block, times their weights.
func (t *attendTask) weigh(acc, weights []float32, values operand, m, n int, next operand) {
	k, hd := t.d.kernels, t.shape.HeadDim
	switch {
	case values.coded.codes != nil:
		k.OutputsInt8(acc, hd, weights, stripTokens, values.coded.codes, values.coded.scales, m, n, hd, next.coded.codes)
	case values.half != nil:
		k.AccumulateHalf(acc, hd, weights, stripTokens, values.half, m, n, hd, next.half)
	default:
		k.Accumulate(acc, hd, weights, stripTokens, values.full, hd, m, n, hd)
	}
}

// combine merges the split b into a.
func (t *attendTask) combine(s *attendScratch, a, b *state) {
	t.d.kernels.Merge(a.max, a.sum, a.acc, b.max, b.sum, b.acc, t.shape.HeadDim, t.unit(), grow(&s.weights, 2*len(b.max)))
}

// unit returns what a unit of the maxima of splits is in natural logarithms.
func (t *attendTask) unit() float32 {
	if t.int16 {
		return math.Ln2
	}
	return 1
}

// finish writes the tile's outputs.
func (t *attendTask) finish(tl *tile, head int, st *state) {
	hd, group := t.shape.HeadDim, t.group()
	width := group * hd
	for i := range tl.count {
		at := (tl.rows.First+tl.first+i)*t.shape.Heads*hd + head*width
		out := t.out[at : at+width]
		copy(out, st.acc[i*width:(i+1)*width])
		for g := range group {
			t.d.kernels.Scale(out[g*hd:(g+1)*hd], 1/st.sum[i*group+g])
		}
	}
}
