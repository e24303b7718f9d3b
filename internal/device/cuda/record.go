package cuda

import "github.com/flashback-lm/flashback/internal/device"

// step is one operation that was asked for.
type step struct {
	op operation
	// What is written, what is read for it, and what besides. Operations that change rows
	// in place read what they write.
	to, x, y *buffer
	first    int // row; of norms, counted in their own width
	rows     int

	table       *table
	scale, bias *vector // of a norm
	eps         float32
	centred     bool
	products    []product
	activation  device.Activation
	by          float32 // Scale and SoftCap
	updates     []update

	q, k, v  *buffer
	cos, sin *buffer // nil: nothing is turned
	layer    int
	a        *device.Attention
}

type product struct {
	to   *buffer
	w    *matrix
	bias *vector
	add  bool
}

type update struct {
	to *buffer
	f  *factors
}

type operation uint8

const (
	embed operation = iota
	positions
	norm
	multiply
	activate
	addRows
	scaleRows
	capRows
	lowRank
	attend
	gather
	choose
)

// recorder takes what a forward asks for.
type recorder struct{ steps []step }

func (r *recorder) add(s step) { r.steps = append(r.steps, s) }

// grouped returns how many heads of queries read one of keys and values; 1 where none does.
func (r *recorder) grouped() int {
	for _, s := range r.steps {
		if s.op == attend {
			return s.a.Heads / s.a.KVHeads
		}
	}
	return 1
}

func bufferOf(b device.Buffer) *buffer {
	if b == nil {
		return nil
	}
	return b.(*buffer)
}

func vectorOf(v device.Vector) *vector {
	if v == nil {
		return nil
	}
	return v.(*vector)
}

func (r *recorder) Embed(x device.Buffer, t device.Table) {
	r.add(step{op: embed, to: bufferOf(x), table: t.(*table)})
}

func (r *recorder) AddPositions(x device.Buffer, t device.Table) {
	r.add(step{op: positions, to: bufferOf(x), table: t.(*table)})
}

func (r *recorder) RMSNorm(dst, x device.Buffer, scale device.Vector, first, rows int, eps float32) {
	r.add(step{op: norm, to: bufferOf(dst), x: bufferOf(x), scale: vectorOf(scale), first: first, rows: rows, eps: eps})
}

func (r *recorder) LayerNorm(dst, x device.Buffer, scale, bias device.Vector, first, rows int, eps float32) {
	r.add(step{op: norm, to: bufferOf(dst), x: bufferOf(x), scale: vectorOf(scale), bias: vectorOf(bias), first: first, rows: rows, eps: eps, centred: true})
}

func (r *recorder) MatMul(x device.Buffer, rows int, products []device.Product) {
	s := step{op: multiply, x: bufferOf(x), rows: rows}
	for _, p := range products {
		s.products = append(s.products, product{bufferOf(p.Out), p.W.(*matrix), vectorOf(p.Bias), p.Add})
	}
	r.add(s)
}

func (r *recorder) Activate(f device.Activation, gate, up device.Buffer, rows int) {
	r.add(step{op: activate, to: bufferOf(gate), y: bufferOf(up), rows: rows, activation: f})
}

// FeedForward is its three steps: the plan makes two of them.
func (r *recorder) FeedForward(f device.Activation, x device.Buffer, rows int, gate, up, down device.Product) {
	r.MatMul(x, rows, []device.Product{gate, up})
	r.Activate(f, gate.Out, up.Out, rows)
	r.MatMul(gate.Out, rows, []device.Product{down})
}

func (r *recorder) Add(x, y device.Buffer, rows int) {
	r.add(step{op: addRows, to: bufferOf(x), y: bufferOf(y), rows: rows})
}

func (r *recorder) Scale(x device.Buffer, rows int, by float32) {
	r.add(step{op: scaleRows, to: bufferOf(x), rows: rows, by: by})
}

func (r *recorder) SoftCap(x device.Buffer, rows int, most float32) {
	r.add(step{op: capRows, to: bufferOf(x), rows: rows, by: most})
}

func (r *recorder) AddLowRank(x device.Buffer, first, rows int, updates []device.Update) {
	s := step{op: lowRank, x: bufferOf(x), first: first, rows: rows}
	for _, u := range updates {
		s.updates = append(s.updates, update{bufferOf(u.Out), u.Factors.(*factors)})
	}
	r.add(s)
}

func (r *recorder) Attend(out, q, k, v device.Buffer, turn device.Rotation, layer int, a *device.Attention) {
	r.add(step{op: attend, to: bufferOf(out), q: bufferOf(q), k: bufferOf(k), v: bufferOf(v),
		cos: bufferOf(turn.Cos), sin: bufferOf(turn.Sin), layer: layer, a: a})
}

func (r *recorder) Gather(dst, src device.Buffer) {
	r.add(step{op: gather, to: bufferOf(dst), x: bufferOf(src)})
}

func (r *recorder) Choose(logits device.Buffer) { r.add(step{op: choose, x: bufferOf(logits)}) }

// forms are the forms of a buffer's numbers, as bits.
type forms uint8

const (
	full forms = 1 << iota // f32
	f16
	bf16
	anyForm // whichever there is
)

// reads returns in which forms a step reads a buffer; 0: it does not.
func (s *step) reads(b *buffer) (f forms) {
	switch s.op {
	case multiply:
		for _, p := range s.products {
			if s.x == b {
				f |= formOf(p.w.format.Half())
			}
			if p.add && p.to == b {
				f |= full
			}
		}
	case norm, gather, choose:
		if s.x == b {
			f = full
		}
	case lowRank:
		if s.x == b {
			f = anyForm
		}
		for _, u := range s.updates {
			if u.to == b {
				f |= full
			}
		}
	case attend:
		if s.q == b || s.k == b || s.v == b {
			f = full
		}
	case positions, activate, addRows, scaleRows, capRows:
		if s.to == b || s.y == b {
			f = full
		}
	}
	return f
}

// replaces reports whether a step sets all rows of a forward's to what does not depend on
// what a buffer held.
func (s *step) replaces(b *buffer, tokens int) bool {
	switch s.op {
	case multiply:
		for _, p := range s.products {
			if p.to == b && !p.add {
				return true
			}
		}
	case norm:
		return s.to == b && s.first == 0 && s.rows >= tokens
	case attend, gather:
		return s.to == b
	}
	return false
}
