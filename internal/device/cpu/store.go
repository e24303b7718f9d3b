package cpu

// Store turns the queries and keys of the batch to their positions and writes
// keys and values to the rows' own spans. q is [tokens, Heads, HeadDim], k and v
// are [tokens, KVHeads, HeadDim], cos and sin [tokens, HeadDim/2].
func (d *Device) Store(q, k, v, cos, sin []float32, layer int, shape AttendShape, rows []Rows) {
	hd, half := shape.HeadDim, shape.HeadDim/2
	for _, r := range rows {
		d.eachRow(r.Count, func(_, i int) {
			row := r.First + i
			c, s := cos[row*half:(row+1)*half], sin[row*half:(row+1)*half]
			for h := range shape.Heads {
				at := (row*shape.Heads + h) * hd
				d.kernels.Rotate(q[at:at+hd], c, s)
			}
			for h := range shape.KVHeads {
				at := (row*shape.KVHeads + h) * hd
				d.kernels.Rotate(k[at:at+hd], c, s)
				key, value := r.Self.Entry(layer, h, r.SelfFirst+i)
				copy(key, k[at:])
				copy(value, v[at:])
			}
		})
	}
}
