package cpu

import "github.com/flashback-lm/flashback/internal/device"

// StoreAttend is Store and then Attend. Keys and values of a single row are written
// by the threads that read them first, head by head, instead of by the caller while
// the others wait.
func (d *Device) StoreAttend(out, q, k, v, cos, sin []float32, kv *KV, layer int, shape *device.Attention, rows []device.Rows) {
	if len(rows) != 1 || rows[0].Count != 1 {
		d.Store(q, k, v, cos, sin, kv, layer, shape.AttendShape, rows)
		d.Attend(out, q, kv, layer, shape, rows)
		return
	}
	r, hd, half := &rows[0], shape.HeadDim, shape.HeadDim/2
	for h := range shape.Heads {
		at := (r.First*shape.Heads + h) * hd
		d.kernels.Rotate(q[at:at+hd], cos[r.First*half:][:half], sin[r.First*half:][:half])
	}
	keys := device.AttendShape{KVHeads: shape.KVHeads, HeadDim: hd} // the queries are turned
	d.store = storeTask{d: d, k: k, v: v, cos: cos, sin: sin, layer: layer, shape: keys,
		kv: kv, pages: r.Self.Pages(), first: r.First, selfFirst: r.SelfFirst, count: 1}
	d.attend.store = &d.store
	d.Attend(out, q, kv, layer, shape, rows)
	d.attend.store = nil
}
