package cpu

import "github.com/flashback-lm/flashback/internal/device"

// StoreAttend is Store and then Attend. Keys and values of a single row are written
// by the threads that read them first, head by head, instead of by the caller while
// the others wait.
func (d *Device) StoreAttend(out, q, k, v []float32, turn Angles, kv *KV, layer int, shape *device.Attention, rows []device.Rows) {
	if len(rows) != 1 || rows[0].Count != 1 {
		d.Store(q, k, v, turn, kv, layer, shape.AttendShape, rows)
		d.Attend(out, q, kv, layer, shape, rows)
		return
	}
	r, hd := &rows[0], shape.HeadDim
	for h := range shape.Heads {
		at := (r.First*shape.Heads + h) * hd
		d.rotate(&turn, q[at:at+hd], r.First)
	}
	keys := device.AttendShape{KVHeads: shape.KVHeads, HeadDim: hd} // the queries are turned
	d.store = storeTask{d: d, k: k, v: v, turn: turn, layer: layer, shape: keys,
		kv: kv, pages: r.Self.Pages(), first: r.First, selfFirst: r.SelfFirst, count: 1}
	d.attend.store = &d.store
	d.Attend(out, q, kv, layer, shape, rows)
	d.attend.store = nil
}
