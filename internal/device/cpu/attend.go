package cpu

import (
	"math"

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
	// tileTokens is how many tokens share a pass over the keys.
	tileTokens = 16
	// spreadTokens is the batch size up to which the splits of one tile are
	// spread over the threads: larger batches have tiles enough.
	spreadTokens = tileTokens
)

// Rows are consecutive rows of a batch with the same view.
type Rows struct {
	First, Count int            // rows of the batch
	View         []kvcache.Part // what all of them see
	Self         *kvcache.Span  // where their own keys and values are
	SelfFirst    int            // entry of Self that row First wrote; a row sees Self up to its own entry
}

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
	scores []float32 // [tile rows, blockTokens]
	keys   []float32 // [blockTokens, headDim], where spans are f16
	values []float32
	split  state
	total  state
	weight [1]float32 // of a split in combine
}

// AttendShape says how the heads of a batch are laid out.
type AttendShape struct {
	Heads, KVHeads, HeadDim int
}

type attendTask struct {
	d      *Device
	shape  AttendShape
	layer  int
	out, q []float32
	tiles  []tile
	spread bool
	units  []splitUnit // when spread
	parts  []state     // when spread: results of the units
}

// tile is up to tileTokens rows of one Rows.
type tile struct {
	rows         *Rows
	first, count int // tokens, counted from rows.First
	splits       int
	firstUnit    int // of head 0, when spread
}

type splitUnit struct {
	tile, head, split int
}

// Attend computes the attention of the batch: out and q are [tokens, Heads,
// HeadDim], keys already rotated and stored in the spans.
func (d *Device) Attend(out, q []float32, layer int, shape AttendShape, rows []Rows) {
	t := &d.attend
	t.shape, t.layer, t.out, t.q = shape, layer, out, q
	t.tiles = t.tiles[:0]
	tokens := 0
	for i := range rows {
		r := &rows[i]
		tokens += r.Count
		for first := 0; first < r.Count; first += tileTokens {
			n := min(tileTokens, r.Count-first)
			t.tiles = append(t.tiles, tile{rows: r, first: first, count: n, splits: splitsOf(r, first+n)})
		}
	}
	if t.spread = tokens <= spreadTokens && d.pool.workers > 1; !t.spread {
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

// splitsOf returns how many splits the first n rows of r have in all parts.
func splitsOf(r *Rows, n int) int {
	splits := 0
	for _, p := range r.View {
		splits += ceil(p.Len, splitTokens)
	}
	return splits + ceil(r.SelfFirst+n, splitTokens)
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
		t.split(s, tl, u.head, u.split, part)
		return
	}
	tl, head := &t.tiles[unit/t.shape.KVHeads], unit%t.shape.KVHeads
	t.gather(s, tl, head)
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
}

// split runs the online softmax of one split into st.
func (t *attendTask) split(s *attendScratch, tl *tile, head, split int, st *state) {
	st.reset()
	r := tl.rows
	for _, p := range r.View {
		n := ceil(p.Len, splitTokens)
		if split < n {
			from := split * splitTokens
			to := min(from+splitTokens, p.Len)
			for b := from; b < to; b += blockTokens {
				t.block(s, st, p.Span, head, b/blockTokens, min(blockTokens, to-b), tl.count, nil)
			}
			return
		}
		split -= n
	}
	// The rows' own span: row i sees its first SelfFirst+first+i+1 entries.
	seen := func(i int) int { return r.SelfFirst + tl.first + i + 1 }
	from := split * splitTokens
	to := min(from+splitTokens, seen(tl.count-1))
	for b := from; b < to; b += blockTokens {
		n := min(blockTokens, to-b)
		if seen(0) >= b+n {
			t.block(s, st, r.Self, head, b/blockTokens, n, tl.count, nil)
		} else {
			t.block(s, st, r.Self, head, b/blockTokens, n, tl.count, func(i int) int { return min(n, seen(i)-b) })
		}
	}
}

// block adds n keys of a block to st. Where the tokens of the tile see
// different numbers of them, visible gives the number for token i.
func (t *attendTask) block(s *attendScratch, st *state, span *kvcache.Span, head, block, n, tokens int, visible func(i int) int) {
	k, hd, group := t.d.kernels, t.shape.HeadDim, t.group()
	rows := tokens * group
	keys, values := t.blockOf(s, span, head, block, n)
	scores := grow(&s.scores, rows*blockTokens)
	k.MatMul(scores, blockTokens, s.q, hd, keys, hd, rows, n, hd)
	scale := float32(1 / math.Sqrt(float64(hd)))
	for i := range rows {
		see := n
		if visible != nil {
			if see = visible(i / group); see <= 0 {
				continue
			}
		}
		row := scores[i*blockTokens : i*blockTokens+see]
		max, sum := k.Softmax(row, scale, st.max[i])
		acc := st.acc[i*hd : (i+1)*hd]
		if max != st.max[i] {
			a := exp(st.max[i] - max)
			st.sum[i] *= a
			k.Scale(acc, a)
			st.max[i] = max
		}
		st.sum[i] += sum
		if visible != nil {
			k.Accumulate(acc, hd, row, blockTokens, values, hd, 1, see, hd)
		}
	}
	if visible == nil {
		k.Accumulate(st.acc, hd, scores, blockTokens, values, hd, rows, n, hd)
	}
}

// blockOf returns the first n keys and values of a block in f32.
func (t *attendTask) blockOf(s *attendScratch, span *kvcache.Span, head, block, n int) (keys, values []float32) {
	if !span.Half() {
		return span.Block(t.layer, head, block)
	}
	k, v := span.HalfBlock(t.layer, head, block)
	n *= t.shape.HeadDim
	keys, values = grow(&s.keys, n), grow(&s.values, n)
	t.d.kernels.FromHalf(keys, k[:n])
	t.d.kernels.FromHalf(values, v[:n])
	return keys, values
}

// combine merges the split b into a.
func (t *attendTask) combine(s *attendScratch, a, b *state) {
	k, hd := t.d.kernels, t.shape.HeadDim
	for i, m := range b.max {
		if b.sum[i] == 0 {
			continue // this row saw nothing of the split
		}
		acc, add := a.acc[i*hd:(i+1)*hd], b.acc[i*hd:(i+1)*hd]
		weight := float32(1)
		if m > a.max[i] {
			old := exp(a.max[i] - m)
			a.sum[i] *= old
			k.Scale(acc, old)
			a.max[i] = m
		} else {
			weight = exp(m - a.max[i])
		}
		a.sum[i] += weight * b.sum[i]
		s.weight[0] = weight
		k.Accumulate(acc, hd, s.weight[:], 1, add, hd, 1, 1, hd)
	}
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

func exp(x float32) float32 { return float32(math.Exp(float64(x))) }
