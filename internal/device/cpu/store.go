package cpu

import "github.com/flashback-lm/flashback/internal/kvcache"

type storeTask struct {
	d                *Device
	q, k, v          []float32
	cos, sin         []float32
	layer            int
	shape            AttendShape
	into             *kvcache.Span
	first, selfFirst int
}

// Store turns the queries and keys of the batch to their positions and writes
// keys and values to the rows' own spans. q is [tokens, Heads, HeadDim], k and v
// are [tokens, KVHeads, HeadDim], cos and sin [tokens, HeadDim/2].
func (d *Device) Store(q, k, v, cos, sin []float32, layer int, shape AttendShape, rows []Rows) {
	for _, r := range rows {
		d.store = storeTask{d, q, k, v, cos, sin, layer, shape, r.Self, r.First, r.SelfFirst}
		d.eachRow(&d.store, r.Count)
	}
}

func (t *storeTask) run(_, i int) {
	hd, half := t.shape.HeadDim, t.shape.HeadDim/2
	row := t.first + i
	c, s := t.cos[row*half:(row+1)*half], t.sin[row*half:(row+1)*half]
	for h := range t.shape.Heads {
		at := (row*t.shape.Heads + h) * hd
		t.d.kernels.Rotate(t.q[at:at+hd], c, s)
	}
	for h := range t.shape.KVHeads {
		at := (row*t.shape.KVHeads + h) * hd
		t.d.kernels.Rotate(t.k[at:at+hd], c, s)
		if t.into.Half() {
			key, value := t.into.HalfEntry(t.layer, h, t.selfFirst+i)
			t.d.kernels.ToHalf(key, t.k[at:at+hd])
			t.d.kernels.ToHalf(value, t.v[at:at+hd])
			continue
		}
		key, value := t.into.Entry(t.layer, h, t.selfFirst+i)
		copy(key, t.k[at:])
		copy(value, t.v[at:])
	}
}
