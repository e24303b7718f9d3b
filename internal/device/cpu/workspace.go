package cpu

import "github.com/flashback-lm/flashback/internal/device"

// workspace is the door's view of the device: it calls the operations with what lies
// behind the handles.
type workspace struct {
	d        *Device
	kv       *KV
	in       *device.Input // of the forward that runs
	products [3]Product
	updates  [3]LowRank
}

func (w *workspace) NewBuffer(rows, width int) (device.Buffer, error) {
	return &buffer{make([]float32, rows*width), width}, nil
}

// Forward calls ops: the device's scratch is for one forward at a time.
func (w *workspace) Forward(in *device.Input, ops func(device.Ops) error) error {
	w.d.turn.Lock()
	defer w.d.turn.Unlock()
	w.in = in
	return ops(w)
}

// Close does nothing: buffers are the collector's.
func (w *workspace) Close() {}

func (w *workspace) Embed(x device.Buffer, t device.Table) {
	to, m := data(x), t.(*weights).stored
	for i, token := range w.in.Tokens {
		if token >= 0 {
			w.d.kernels.Dequantize(m.Type, to[i*m.Cols:(i+1)*m.Cols], m.Row(int(token)))
		}
	}
}

func (w *workspace) RMSNorm(dst, x device.Buffer, scale device.Vector, rows int, eps float32) {
	w.d.RMSNorm(data(dst), data(x), scale.(vector), rows, eps)
}

// product returns the operands behind a product's handles.
func product(p *device.Product) Product {
	m := p.W.(*weights)
	return Product{Out: data(p.Out), W: m.stored, Panel: m.panel, Add: p.Add}
}

func (w *workspace) MatMul(x device.Buffer, rows int, products []device.Product) {
	for i := range products {
		w.products[i] = product(&products[i])
	}
	w.d.MatMul(data(x), rows, w.products[:len(products)]...)
}

func (w *workspace) SwiGLU(gate, up device.Buffer, rows int) {
	g := gate.(*buffer)
	w.d.SwiGLU(g.data, data(up), rows, g.width)
}

func (w *workspace) FeedForward(x device.Buffer, rows int, gate, up, down device.Product) {
	w.d.FeedForward(data(x), rows, product(&gate), product(&up), product(&down))
}

func (w *workspace) AddLowRank(x device.Buffer, first, rows int, updates []device.Update) {
	in := 0
	for i, u := range updates {
		f := u.Factors.(*factors)
		w.updates[i] = f.LowRank
		w.updates[i].Out = data(u.Out)[first*f.Width:]
		in = f.In
	}
	w.d.AddLowRank(data(x)[first*in:], rows, w.updates[:len(updates)]...)
}

func (w *workspace) Attend(out, q, k, v device.Buffer, turn device.Rotation, layer int, a *device.Attention) {
	w.d.StoreAttend(data(out), data(q), data(k), data(v), data(turn.Cos), data(turn.Sin), w.kv, layer, a, w.in.Rows)
}

func (w *workspace) Gather(dst, src device.Buffer) {
	to, from := dst.(*buffer), src.(*buffer)
	for i, row := range w.in.Wanted {
		to.Write(i, from.Read(row, 1))
	}
}
