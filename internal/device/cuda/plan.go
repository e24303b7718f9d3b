package cuda

import (
	"errors"
	"fmt"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel"
)

// launch puts a kernel on the stream; early: it may begin before the one in front of it
// has ended.
type launch func(s driver.Stream, early bool) error

// planner turns the steps of a forward to launches.
type planner struct {
	w     *workspace
	steps []step
	sizes sizes
	at    layout

	launches []launch
	holds    map[*buffer]forms // in which forms what a buffer holds is there
	bytes    int64             // of weights that are read
	err      error
}

func formOf(h kernel.Half) forms {
	if h == kernel.HalfBF16 {
		return bf16
	}
	return f16
}

// halfNumber is how kernels call a form.
func halfNumber(f forms) int32 {
	switch f {
	case f16:
		return 1
	case bf16:
		return 2
	}
	return 0
}

// do plans a launch.
func (p *planner) do(l launch) { p.launches = append(p.launches, l) }

// readers returns the steps behind the nth that read what it writes to a buffer, and in
// which forms.
func (p *planner) readers(nth int, b *buffer) (at []int, f forms) {
	for j := nth + 1; j < len(p.steps); j++ {
		if r := p.steps[j].reads(b); r != 0 {
			at, f = append(at, j), f|r
		}
		if p.steps[j].replaces(b, p.rows()) {
			break
		}
	}
	return at, f
}

// rows returns how many rows the forward has.
func (p *planner) rows() int { return max(p.sizes.tokens, p.sizes.wanted) }

// form returns the form in which a step that can choose writes a buffer: the one in which
// it is read, or f32, which the others are made of.
func (p *planner) form(nth int, b *buffer) forms {
	switch _, f := p.readers(nth, b); f &^ anyForm {
	case f16:
		return f16
	case bf16:
		return bf16
	}
	return full
}

// place returns where a buffer is in a form, and the elements from one row to the next.
func (p *planner) place(b *buffer, f forms) (driver.Ptr, int32) {
	if f == full {
		return b.full, int32(b.width)
	}
	at, err := b.sixteen()
	p.err = errors.Join(p.err, err)
	return at, int32(kernel.Pad(b.width))
}

// ensure makes a form of what a buffer holds, unless it is there.
func (p *planner) ensure(b *buffer, f forms, rows int) {
	held, ok := p.holds[b]
	if !ok {
		held = full // from a forward before, or written by the host
	}
	if held&f != 0 {
		return
	}
	if held&full == 0 {
		p.err = errors.Join(p.err, errors.New("a buffer is read in another form than it was written in"))
		return
	}
	to, stride := p.place(b, f)
	e := &kernel.Elementwise{X: b.full, To: to, Rows: int32(rows), Width: int32(b.width), XStride: int32(b.width), ToWidth: stride, Half: halfNumber(f), Op: kernel.OpCopy}
	p.do(func(s driver.Stream, early bool) error { return p.w.d.kernels.Elementwise(s, e, early) })
	p.holds[b] = full | f
}

// run plans all steps.
func (p *planner) run() error {
	for i := 0; i < len(p.steps); {
		i += p.step(i)
		if p.err != nil {
			return p.err
		}
	}
	return nil
}

// step plans the nth step, with those behind it that become one with it, and returns how
// many they are.
func (p *planner) step(nth int) int {
	s := &p.steps[nth]
	k := p.w.d.kernels
	switch s.op {
	case embed, positions:
		e := &kernel.Embed{Tokens: p.at.tokens, Table: s.table.at, X: s.to.full, Rows: int32(p.sizes.tokens), Width: int32(s.table.width), Stride: int32(s.to.width), Stored: s.table.stored}
		if s.op == positions {
			e.Tokens, e.Sum = p.at.positions, 1
		}
		p.do(func(s driver.Stream, early bool) error { return k.Embed(s, e, early) })
		p.holds[s.to] = full
	case norm:
		return p.norm(nth)
	case multiply:
		return p.multiply(nth, nil)
	case activate:
		p.elementwise(s, kernel.OpActivate+kernel.Op(s.activation), p.form(nth, s.to))
	case addRows:
		p.elementwise(s, kernel.OpAdd, full)
	case scaleRows:
		p.elementwise(s, kernel.OpScale, full)
	case capRows:
		p.elementwise(s, kernel.OpCap, full)
	case lowRank:
		p.lowRank(s)
	case attend:
		p.attend(nth)
	case gather:
		p.ensure(s.x, full, p.rows())
		g := &kernel.Gather{Index: p.at.wanted, From: s.x.full, To: s.to.full, Rows: int32(p.sizes.wanted), Width: int32(s.to.width), Stride: int32(s.to.width)}
		p.do(func(s driver.Stream, early bool) error { return k.Gather(s, g, early) })
		p.holds[s.to] = full
	case choose:
		p.choose(s)
	default:
		p.err = fmt.Errorf("unknown operation %d", s.op)
	}
	return 1
}

// norm plans a norm: with the product behind it where rows are few, with the sum behind it,
// or alone.
func (p *planner) norm(nth int) int {
	s := &p.steps[nth]
	readers, _ := p.readers(nth, s.to)
	whole := s.to.width == s.scale.width && s.x.width == s.scale.width && s.first == 0
	alone := whole && len(readers) == 1 && readers[0] == nth+1 && nth+1 < len(p.steps)
	if alone && !s.centred && s.rows <= kernel.FewRows {
		if next := &p.steps[nth+1]; next.op == multiply && next.x == s.to && next.rows == s.rows && !writes(next, s.to) && p.normalises(next, s) {
			p.ensure(s.x, full, s.rows)
			return 1 + p.multiply(nth+1, s)
		}
	}
	from := driver.Ptr(4 * s.first * s.scale.width)
	n := &kernel.Norm{X: s.x.full + from, Scale: s.scale.at, Rows: int32(s.rows), Width: int32(s.scale.width), XStride: int32(s.scale.width), Eps: s.eps}
	if s.centred {
		n.Layer = 1
	}
	if s.bias != nil {
		n.Bias = s.bias.at
	}
	p.ensure(s.x, full, p.rows())
	used := 1
	switch form := p.form(nth, s.to); {
	case alone && p.steps[nth+1].op == addRows && p.steps[nth+1].y == s.to && p.steps[nth+1].to != s.to && p.steps[nth+1].rows == s.rows:
		sum := p.steps[nth+1].to
		n.To, n.ToStride, n.Sum = sum.full, int32(sum.width), 1
		p.holds[sum] = full
		used = 2
	case form != full && s.to.width == s.scale.width && s.x.width == s.scale.width:
		to, stride := p.place(s.to, form)
		n.To, n.ToStride, n.Half = to+driver.Ptr(2*s.first*int(stride)), stride, halfNumber(form)
		p.holds[s.to] = form
	default:
		n.To, n.ToStride = s.to.full+from, int32(s.scale.width)
		p.holds[s.to] = full
	}
	k := p.w.d.kernels
	p.do(func(s driver.Stream, early bool) error { return k.Norm(s, n, early) })
	return used
}

// writes reports whether a step's products go to a buffer.
func writes(s *step, b *buffer) bool {
	for _, q := range s.products {
		if q.to == b {
			return true
		}
	}
	return false
}

// multiply plans products, behind a norm of few rows that was not planned, or nil, and with
// the activation behind them where that is all that reads them.
func (p *planner) multiply(nth int, fused *step) int {
	s := &p.steps[nth]
	used := 1
	epilogue := kernel.Store
	var activation kernel.Activation
	if nth+1 < len(p.steps) {
		if a := &p.steps[nth+1]; p.activates(nth, a) {
			epilogue, used = kernel.Activated, 2
			if a.y != nil {
				epilogue = kernel.Gated
			}
			activation = kernel.Activation(a.activation)
		}
	}
	for rest := s.products; len(rest) > 0; {
		n := together(rest)
		k := p.product(s, rest[:n], fused)
		k.Epilogue, k.Activation = epilogue, activation
		if rest[0].add {
			k.Epilogue = kernel.Add
		}
		half := formOf(k.Format.Half())
		if fused == nil {
			p.ensure(s.x, half, s.rows)
			k.X, k.XStride = p.place(s.x, half)
		}
		for i, q := range rest[:n] {
			if q.add {
				p.ensure(q.to, full, s.rows)
			}
			p.holds[q.to] = full
			if epilogue != kernel.Store && i == 0 {
				k.Segments[i].Out, k.Segments[i].Stride = p.place(q.to, half)
				p.holds[q.to] = half
			}
			p.bytes += q.w.bytes()
		}
		if bytes := scratchBytes(rest[:n]); bytes > 0 && p.w.d.kernels.Expands(k) {
			k.Scratch = p.scratch(expanded, bytes)
		}
		set := p.w.d.kernels
		p.do(func(s driver.Stream, early bool) error { return set.Product(s, k, early) })
		rest = rest[n:]
	}
	return used
}

// together returns how many of the products, from the first on, one kernel computes.
func together(products []product) int {
	n := 1
	for n < len(products) && products[n].w.format == products[0].w.format && products[n].add == products[0].add {
		n++
	}
	return n
}

// product returns the launch of products of a step, which store their sums.
func (p *planner) product(s *step, products []product, fused *step) *kernel.Product {
	k := &kernel.Product{Count: int32(len(products)), Rows: int32(s.rows), Cols: int32(products[0].w.cols), Format: products[0].w.format}
	if fused != nil {
		k.X, k.XStride, k.Norm, k.Eps = fused.x.full, int32(fused.x.width), fused.scale.at, fused.eps
	}
	for i, q := range products {
		k.Segments[i] = kernel.Segment{W: q.w.at, Scale: q.w.scale, Out: q.to.full, Rows: int32(q.w.rows), Stride: int32(q.to.width)}
		if q.bias != nil {
			k.Segments[i].Bias = q.bias.at
		}
	}
	return k
}

// normalises reports whether the kernels of a step's products can do the norm in front of it.
func (p *planner) normalises(s, norm *step) bool {
	for rest := s.products; len(rest) > 0; rest = rest[together(rest):] {
		if !p.w.d.kernels.Normalises(p.product(s, rest[:together(rest)], norm)) {
			return false
		}
	}
	return true
}

func scratchBytes(products []product) int64 {
	var rows []int
	for _, q := range products {
		rows = append(rows, q.w.rows)
	}
	return kernel.ScratchBytes(products[0].w.format, products[0].w.cols, rows...)
}

// activates reports whether a step is the activation of the nth's products, and can be
// done with them: what is read of it has the form in which they write it.
func (p *planner) activates(nth int, a *step) bool {
	s := &p.steps[nth]
	if a.op != activate || a.rows != s.rows || len(s.products) == 0 || a.to != s.products[0].to || s.products[0].add {
		return false
	}
	first := s.products[0].w
	if p.form(nth+1, a.to) != formOf(first.format.Half()) {
		return false
	}
	if a.y == nil {
		return len(s.products) == 1
	}
	if len(s.products) != 2 || s.products[1].to != a.y || s.products[1].add {
		return false
	}
	second := s.products[1].w
	return first.format == second.format && first.rows == second.rows
}

// elementwise plans what makes rows of f32 others, number by number, in a form.
func (p *planner) elementwise(s *step, op kernel.Op, form forms) {
	p.ensure(s.to, full, s.rows)
	to, stride := p.place(s.to, form)
	width := int32(s.to.width)
	e := &kernel.Elementwise{X: s.to.full, To: to, Rows: int32(s.rows), Width: width, XStride: width, ToWidth: stride, Half: halfNumber(form), Op: op, By: s.by}
	if s.y != nil {
		p.ensure(s.y, full, s.rows)
		e.Y, e.YStride = s.y.full, int32(s.y.width)
	}
	k := p.w.d.kernels
	p.do(func(s driver.Stream, early bool) error { return k.Elementwise(s, e, early) })
	p.holds[s.to] = form
}

func (p *planner) lowRank(s *step) {
	form := full
	if held := p.holds[s.x]; held&full == 0 && held != 0 {
		form = held
	}
	x, stride := p.place(s.x, form)
	bytes := 4
	if form != full {
		bytes = 2
	}
	l := &kernel.LowRank{X: x + driver.Ptr(bytes*s.first*int(stride)), XStride: stride, Count: int32(len(s.updates)), Rows: int32(s.rows), Cols: int32(s.x.width), Half: halfNumber(form)}
	for i, u := range s.updates {
		p.ensure(u.to, full, p.rows())
		l.Updates[i] = kernel.Update{A: u.f.a, B: u.f.b, To: u.to.full + driver.Ptr(4*s.first*u.to.width), Scale: u.f.scale, Rank: int32(u.f.rank), Out: int32(u.f.out), Stride: int32(u.to.width)}
		l.MaxRank, l.MaxOut = max(l.MaxRank, int32(u.f.rank)), max(l.MaxOut, int32(u.f.out))
		p.holds[u.to] = full
	}
	l.Middle = p.scratch(middle, 4*int64(l.Count)*int64(l.Rows)*int64(l.MaxRank))
	k := p.w.d.kernels
	p.do(func(s driver.Stream, early bool) error { return k.LowRank(s, l, early) })
}

// attend plans the rotation and the attention, of groups of few rows and of many apart.
func (p *planner) attend(nth int) {
	s := &p.steps[nth]
	n, a, k := p.sizes, s.a, p.w.d.kernels
	for _, b := range []*buffer{s.q, s.k, s.v} {
		p.ensure(b, full, n.tokens)
	}
	wide := (a.HeadDim + 15) / 16 * 16
	kv := p.w.kv.layer(s.layer)
	r := &kernel.Rotate{KV: kv, Q: s.q.full, K: s.k.full, V: s.v.full, To: p.scratch(queries, 2*int64(n.tokens)*int64(a.Heads*wide)), Slots: p.at.slots,
		Rows: int32(n.tokens), QStride: int32(s.q.width), KStride: int32(s.k.width), VStride: int32(s.v.width),
		Heads: int32(a.Heads), KVHeads: int32(a.KVHeads), HeadDim: int32(a.HeadDim)}
	if a.Halves {
		r.Halves = 1
	}
	if s.cos != nil {
		r.Cos, r.Sin = p.at.turns[s.cos], p.at.turns[s.sin]
		r.Pairs, r.TurnWidth = int32(s.cos.width), int32(s.cos.width)
	}
	fresh := n.many == 0 && !n.mixed && n.fewRows <= kernel.FreshRows
	if !fresh {
		p.do(func(s driver.Stream, early bool) error { return k.Rotate(s, r, early) })
	}

	form := p.form(nth, s.to)
	if form == full {
		form = f16
	}
	out, stride := p.place(s.to, form)
	p.holds[s.to] = form
	both := kernel.Attend{KV: kv, Q: r.To, Out: out, Splits: p.at.splits, Heads: r.Heads, KVHeads: r.KVHeads, HeadDim: r.HeadDim,
		OutStride: stride, Window: int32(a.Window), Scale: float32(a.Scale), SoftCap: float32(a.SoftCap), Half: halfNumber(form)}
	if n.few > 0 {
		few := both
		if fresh {
			few.Fresh = *r
		}
		few.Groups, few.Count, few.MaxRows, few.MaxSplit = p.at.groups, int32(n.few), int32(n.fewRows), int32(n.fewSplits)
		few.Parts, few.Counters = p.parts(k.FewRoom(&few))
		p.do(func(s driver.Stream, early bool) error { return k.AttendFew(s, &few, early) })
	}
	if n.many > 0 {
		many := both
		many.Groups = p.at.groups + driver.Ptr(n.few*groupBytes)
		many.Count, many.MaxRows, many.MaxSplit = int32(n.many), int32(n.manyRows), int32(n.manySplits)
		many.Parts, many.Counters = p.parts(k.ManyRoom(&many))
		p.do(func(s driver.Stream, early bool) error { return k.AttendMany(s, &many, early) })
	}
}

// choose plans the choice of tokens, and what takes them to the host.
func (p *planner) choose(s *step) {
	p.ensure(s.x, full, p.sizes.wanted)
	n, w, k := p.sizes.wanted, p.w, p.w.d.kernels
	at, err := w.chosenRoom(n)
	p.err = errors.Join(p.err, err)
	c := &kernel.Choose{Logits: s.x.full, Choices: p.at.choices, Tokens: at, Finite: at + driver.Ptr(4*n), Rows: int32(n), Vocab: int32(s.x.width), Stride: int32(s.x.width)}
	p.do(func(s driver.Stream, early bool) error { return k.Choose(s, c, early) })
	p.do(func(s driver.Stream, _ bool) error { return s.Download(w.chosen[:8*n], at) })
}

// parts returns room for parts of attention and counters.
func (p *planner) parts(bytes, counted int64) (at, counter driver.Ptr) {
	return p.scratch(parts, bytes), p.scratch(counters, counted)
}

// scratch returns room that the kernels of one forward use one after the other.
func (p *planner) scratch(which int, bytes int64) driver.Ptr {
	at, err := p.w.scratch(which, bytes)
	p.err = errors.Join(p.err, err)
	return at
}
