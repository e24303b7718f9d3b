package cpu

import (
	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/kvcache"
)

type storeTask struct {
	d                *Device
	q, k, v          []float32
	turn             Angles
	layer            int
	shape            device.AttendShape
	kv               *KV
	pages            []int32 // of the rows' own span
	first, selfFirst int
	count            int
}

// Angles hold the cosines and sines of rows [rows, Pairs] by which pairs of a head's
// elements are turned: (2i, 2i+1) or, if Halves, (i, Pairs+i).
type Angles struct {
	Cos, Sin []float32
	Pairs    int
	Halves   bool
}

// rotate turns the head x by the angles of a row.
func (d *Device) rotate(a *Angles, x []float32, row int) {
	cos, sin := a.Cos[row*a.Pairs:][:a.Pairs], a.Sin[row*a.Pairs:][:a.Pairs]
	switch {
	case a.Pairs == 0:
	case a.Halves:
		rotateHalves(x, cos, sin)
	default:
		d.kernels.Rotate(x[:2*a.Pairs], cos, sin)
	}
}

// rotateHalves turns the pairs (x[i], x[len(cos)+i]).
func rotateHalves(x, cos, sin []float32) {
	n := len(cos)
	low, high := x[:n], x[n:2*n]
	for i, c := range cos {
		a, b, s := low[i], high[i], sin[i]
		low[i] = float32(a*c) - float32(b*s)
		high[i] = float32(a*s) + float32(b*c)
	}
}

// Store turns the queries and keys of the batch to their positions and writes
// keys and values to the rows' own spans, whose pages are in kv. q is [tokens, Heads, HeadDim], k and v
// are [tokens, KVHeads, HeadDim].
func (d *Device) Store(q, k, v []float32, turn Angles, kv *KV, layer int, shape device.AttendShape, rows []device.Rows) {
	for _, r := range rows {
		d.store = storeTask{d, q, k, v, turn, layer, shape, kv, r.Self.Pages(), r.First, r.SelfFirst, r.Count}
		blocks := kvcache.Blocks(r.SelfFirst+r.Count) - r.SelfFirst/kvcache.PageTokens
		units := blocks * shape.KVHeads
		if r.Count > inlineRows {
			d.pool.run(&d.store, units)
			continue
		}
		for u := range units {
			d.store.run(0, u)
		}
	}
}

// run stores one KV head of the rows that go to one block: keys lie across, so
// that rows of a block share cache lines.
func (t *storeTask) run(worker, unit int) {
	block, head := t.selfFirst/kvcache.PageTokens+unit/t.shape.KVHeads, unit%t.shape.KVHeads
	from := max(t.selfFirst, block*kvcache.PageTokens)
	to := min(t.selfFirst+t.count, (block+1)*kvcache.PageTokens)
	for entry := from; entry < to; entry++ {
		t.entry(worker, head, entry)
	}
}

func (t *storeTask) entry(worker, head, entry int) {
	kernels, hd := t.d.kernels, t.shape.HeadDim
	group := t.shape.Heads / t.shape.KVHeads
	row := t.first + entry - t.selfFirst
	for h := head * group; h < (head+1)*group; h++ {
		at := (row*t.shape.Heads + h) * hd
		t.d.rotate(&t.turn, t.q[at:at+hd], row)
	}
	from := (row*t.shape.KVHeads + head) * hd
	k, v := t.k[from:from+hd], t.v[from:from+hd]
	t.d.rotate(&t.turn, k, row)
	scratch := &t.d.scratch[worker]
	page, at := t.pages[entry/kvcache.PageTokens], entry%kvcache.PageTokens
	switch t.kv.shape.Format {
	case kvcache.F16:
		keys, values := t.kv.halfBlock(page, t.layer, head)
		kernels.ToHalf(values[at*hd:][:hd], v)
		short := grow(&scratch.key, hd)
		kernels.ToHalf(short, k)
		across(keys[at:], short)
	case kvcache.Q8:
		keys, values := t.kv.codedBlock(page, t.layer, head)
		copy(values.codes[at*hd:][:hd], t.code(scratch, v, values.scales[at:]))
		across(keys.codes[at:], t.code(scratch, k, keys.scales[at:]))
	case kvcache.I16:
		t.storeInt16(scratch, page, head, at, k, v)
	default:
		keys, values := t.kv.block(page, t.layer, head)
		copy(values[at*hd:][:hd], v)
		across(keys[at:], k)
	}
}

// code returns x in 8 bits and writes its scales to their column of a block.
func (t *storeTask) code(s *scratch, x, scales []float32) []int8 {
	padded := grow(&s.padded, ceil(len(x), kvcache.ScaleElements)*kvcache.ScaleElements)
	clear(padded[copy(padded, x):])
	s.coded.Resize(1, len(padded))
	t.d.kernels.Quantize(&s.coded, 0, padded)
	for i, b := range s.coded.Blocks {
		scales[i*kvcache.PageTokens] = b.Scale
	}
	return s.coded.Q[:len(x)]
}

// across writes a key to its column of a block.
func across[T any](column, key []T) {
	for d, x := range key {
		column[d*kvcache.PageTokens] = x
	}
}
