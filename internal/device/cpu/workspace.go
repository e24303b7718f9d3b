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

func (w *workspace) AddPositions(x device.Buffer, t device.Table) {
	w.d.AddRows(data(x), t.(*weights).stored, w.in.Positions)
}

func (w *workspace) RMSNorm(dst, x device.Buffer, scale device.Vector, first, rows int, eps float32) {
	from := first * scale.Width()
	w.d.RMSNorm(data(dst)[from:], data(x)[from:], scale.(vector), rows, eps)
}

// product returns the operands behind a product's handles.
func product(p *device.Product) Product {
	m := p.W.(*weights)
	return Product{Out: data(p.Out), W: m.stored, Panel: m.panel, Bias: numbers(p.Bias), Add: p.Add}
}

// numbers returns those of a vector; nil: there is none.
func numbers(v device.Vector) []float32 {
	if v == nil {
		return nil
	}
	return v.(vector)
}

func (w *workspace) LayerNorm(dst, x device.Buffer, scale, bias device.Vector, first, rows int, eps float32) {
	from := first * scale.Width()
	w.d.LayerNorm(data(dst)[from:], data(x)[from:], numbers(scale), numbers(bias), rows, eps)
}

func (w *workspace) MatMul(x device.Buffer, rows int, products []device.Product) {
	for i := range products {
		w.products[i] = product(&products[i])
	}
	w.d.MatMul(data(x), rows, w.products[:len(products)]...)
}

func (w *workspace) Activate(f device.Activation, gate, up device.Buffer, rows int) {
	g, u := gate.(*buffer), []float32(nil)
	if up != nil {
		u = data(up)
	}
	w.d.Activate(f, g.data, u, rows, g.width)
}

func (w *workspace) FeedForward(f device.Activation, x device.Buffer, rows int, gate, up, down device.Product) {
	w.d.FeedForward(f, data(x), rows, product(&gate), product(&up), product(&down))
}

func (w *workspace) Add(x, y device.Buffer, rows int) {
	w.d.AddTo(data(x), data(y), rows, x.(*buffer).width)
}

func (w *workspace) Scale(x device.Buffer, rows int, by float32) {
	w.d.kernels.Scale(data(x)[:rows*x.(*buffer).width], by)
}

func (w *workspace) SoftCap(x device.Buffer, rows int, most float32) {
	w.d.SoftCap(data(x), rows, x.(*buffer).width, most)
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
	var angles Angles
	if turn.Cos != nil {
		angles = Angles{data(turn.Cos), data(turn.Sin), turn.Cos.(*buffer).width, a.Halves}
	}
	w.d.StoreAttend(data(out), data(q), data(k), data(v), angles, w.kv, layer, a, w.in.Rows)
}

func (w *workspace) Gather(dst, src device.Buffer) {
	to, from := dst.(*buffer), src.(*buffer)
	for i, row := range w.in.Wanted {
		to.Write(i, from.Read(row, 1))
	}
}
