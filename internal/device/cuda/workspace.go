package cuda

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel"
	"github.com/flashback-lm/flashback/internal/kvcache"
)

// workspace is what forwards need besides weights, keys and values.
type workspace struct {
	d       *Device
	kv      *storage
	buffers []*buffer
	records map[sizes]*record
	views   views
	inputs  [2]input // of blocks, and of heads: one is filled while the other is read
	rooms   [rooms]struct {
		at    driver.Ptr
		bytes int64
	}
	last   int    // rows that the last forward wanted
	chosen []byte // pinned: tokens of the last forward, and whether their rows were finite
}

// record is a planned forward.
type record struct {
	at       layout
	launches []launch
	graph    driver.Graph // nil at first
	runs     int
	bytes    int64 // of weights
}

// sizes are all that the launches of a forward that repeats depend on. Numbers of splits are
// rounded up: what lies above those that are there is not read.
type sizes struct {
	tokens, wanted                           int
	chooses                                  bool
	mixed                                    bool // see views
	few, many                                int  // groups
	fewRows, fewSplits, manyRows, manySplits int
	splits                                   int // of all groups
}

// What scratch memory is for.
const (
	expanded = iota // weights in f16
	middle          // x·Aᵀ of low-rank updates
	queries         // turned, in f16
	parts           // of attention
	choices         // tokens, and whether rows are finite
	counters        // of attention: zeros between forwards
	rooms
)

// mostRecords is how many planned forwards are kept.
const mostRecords = 128

// NewWorkspace returns what forwards over spans of that storage are computed in.
func (d *Device) NewWorkspace(kv kvcache.Storage) (device.Workspace, error) {
	w := &workspace{d: d, kv: kv.(*storage), records: map[sizes]*record{}, views: views{written: map[*kvcache.Span]int{}}}
	for i := range w.inputs {
		var err error
		if w.inputs[i].sent, err = d.card.NewEvent(); err != nil {
			return nil, explain(err)
		}
	}
	return w, nil
}

// Close gives all memory back, when what was asked for is done.
func (w *workspace) Close() {
	d := w.d
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stream.Sync()
	w.forget()
	for _, b := range w.buffers {
		d.memory.give(b.full, b.half)
		d.card.Unpin(b.out)
	}
	for i := range w.rooms {
		d.memory.give(w.rooms[i].at)
	}
	for i := range w.inputs {
		w.inputs[i].close(d)
	}
	d.card.Unpin(w.chosen)
}

// Chosen returns what was chosen of a row of the last forward.
func (w *workspace) Chosen(row int) (token int32, finite bool) {
	values := valuesOf[int32](w.chosen)
	return values[row], values[w.last+row] != 0
}

// chosenRoom returns room for chosen tokens, on the card and on the host.
func (w *workspace) chosenRoom(rows int) (driver.Ptr, error) {
	if len(w.chosen) < 8*rows {
		if err := w.d.stream.Sync(); err != nil {
			return 0, err
		}
		w.forget()
		w.d.card.Unpin(w.chosen)
		var err error
		if w.chosen, err = w.d.card.Pinned(max(8*rows, 1<<12)); err != nil {
			return 0, explain(err)
		}
	}
	return w.scratch(choices, int64(8*rows))
}

// forget gives the records back: addresses in them are those of memory that has been
// exchanged.
func (w *workspace) forget() {
	for key, r := range w.records {
		if r.graph != nil {
			r.graph.Close()
		}
		delete(w.records, key)
	}
}

// scratch returns at least so much room of a kind, zeros at first.
func (w *workspace) scratch(which int, bytes int64) (driver.Ptr, error) {
	r := &w.rooms[which]
	if bytes <= r.bytes {
		return r.at, nil
	}
	// What is read by recorded forwards goes with them. It is not needed any more when the
	// stream has come to its end.
	d := w.d
	if err := d.stream.Sync(); err != nil {
		return 0, explain(err)
	}
	w.forget()
	d.memory.give(r.at)
	r.at, r.bytes = 0, 0
	bytes = max(bytes, 1<<16)
	at, err := d.memory.take(bytes + bytes/4)
	if err != nil {
		return 0, err
	}
	r.at, r.bytes = at, bytes+bytes/4
	return at, explain(d.stream.Zero(at, r.bytes))
}

// Forward plans what ops asks for, or takes the plan of a forward of the same sizes, and puts
// it on the stream. Where logits are wanted it returns when they are there.
func (w *workspace) Forward(in *device.Input, ops func(device.Ops) error) error {
	d := w.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.failed; err != nil {
		d.failed = nil
		return explain(err)
	}
	var asked recorder
	if w.views.grouped == 0 && len(in.Tokens) > 0 { // the first says how heads are grouped
		if err := ops(&asked); err != nil {
			return err
		}
		w.views.grouped = asked.grouped()
	}
	w.views.set(in.Rows, len(in.Tokens))
	sizes := w.sizes(in)
	r := w.records[sizes]
	if r == nil || !in.Repeats {
		if asked.steps == nil {
			if err := ops(&asked); err != nil {
				return err
			}
		}
		var err error
		if r, err = w.plan(sizes, asked.steps); err != nil {
			return err
		}
		if in.Repeats {
			if len(w.records) >= mostRecords {
				if err := d.stream.Sync(); err != nil {
					return explain(err)
				}
				w.forget()
			}
			w.records[sizes] = r
		}
	}
	for _, b := range w.buffers {
		b.fetched = 0
	}
	w.last = len(in.Wanted)
	if err := w.submit(r, in, sizes); err != nil {
		return explain(err)
	}
	d.weightBytes.Add(r.bytes)
	if len(in.Wanted) > 0 {
		return explain(d.stream.Sync())
	}
	return nil
}

func (w *workspace) sizes(in *device.Input) sizes {
	v := &w.views
	return sizes{
		tokens: len(in.Tokens), wanted: len(in.Wanted), chooses: len(in.Choices) > 0, mixed: v.mixed, few: v.few, many: len(v.groups) - v.few,
		fewRows: v.fewRows, fewSplits: roundUp(v.fewSplits), manyRows: v.manyRows, manySplits: roundUp(v.manySplits), splits: roundUp(len(v.splits)),
	}
}

// roundUp rounds to one of eight or fewer numbers between two powers of 2, so that a text
// that grows meets few sizes.
func roundUp(n int) int {
	step := 4
	for step*8 < n {
		step *= 2
	}
	return (n + step - 1) / step * step
}

// plan plans a forward.
func (w *workspace) plan(n sizes, steps []step) (*record, error) {
	at, err := w.input(n).layout(w, n, steps)
	if err != nil {
		return nil, err
	}
	p := &planner{w: w, steps: steps, sizes: n, at: at, holds: map[*buffer]forms{}}
	// Room that grows takes the records with it, and this plan would hold the address of
	// what was given back: the second time nothing grows.
	before := w.rooms
	if err := p.run(); err != nil {
		return nil, err
	}
	if w.rooms != before {
		p = &planner{w: w, steps: steps, sizes: n, at: at, holds: map[*buffer]forms{}}
		if err := p.run(); err != nil {
			return nil, err
		}
	}
	return &record{at: at, launches: p.launches, bytes: p.bytes}, nil
}

// submit puts a planned forward on the stream: the first time launch by launch, then as
// a graph.
func (w *workspace) submit(r *record, in *device.Input, n sizes) error {
	d, input := w.d, w.input(n)
	if err := w.flush(r); err != nil {
		return err
	}
	if err := input.fill(w, r.at, in); err != nil {
		return err
	}
	r.runs++
	if r.runs > 1 && in.Repeats && r.graph == nil {
		graph, err := d.stream.Capture(func() error { return r.launch(d.stream, input, nil) })
		switch {
		case err == nil:
			r.graph = graph
		case !driver.IsOutOfMemory(err): // else it goes on without
			return err
		}
	}
	if r.graph == nil {
		return r.launch(d.stream, input, input.sent)
	}
	return errors.Join(d.stream.Run(r.graph), d.stream.Record(input.sent))
}

// launch puts the input and all kernels on the stream; sent, if not nil, is marked between them.
func (r *record) launch(s driver.Stream, i *input, sent driver.Event) error {
	if err := s.Upload(i.card, i.host[:r.at.bytes]); err != nil {
		return err
	}
	if sent != nil {
		if err := s.Record(sent); err != nil {
			return err
		}
	}
	for n, l := range r.launches {
		if err := l(s, n > 0); err != nil {
			return err
		}
	}
	return nil
}

// flush takes to the card what was written to buffers, but for the angles of rotations, which
// go with the input.
func (w *workspace) flush(r *record) error {
	synced := false
	for _, b := range w.buffers {
		if _, ok := r.at.turns[b]; ok || len(b.dirty) == 0 {
			continue
		}
		if !synced {
			if err := w.d.stream.Sync(); err != nil {
				return err
			}
			synced = true
		}
		if err := b.flush(); err != nil {
			return err
		}
	}
	return nil
}

func (w *workspace) input(n sizes) *input {
	if n.tokens > 0 {
		return &w.inputs[0]
	}
	return &w.inputs[1]
}

// input is the memory of all that changes from one forward to the next, on the host and on
// the card.
type input struct {
	host  []byte
	card  driver.Ptr
	bytes int64
	sent  driver.Event // when the host may write it again
}

func (i *input) close(d *Device) {
	d.card.Unpin(i.host)
	d.memory.give(i.card)
	i.sent.Close()
}

// layout is where in the input what is, as addresses of the card.
type layout struct {
	tokens, positions, slots, wanted, choices, groups, splits driver.Ptr
	turns                                                     map[*buffer]driver.Ptr // cosines and sines
	order                                                     []*buffer              // those
	bytes                                                     int64
}

const (
	choiceBytes = int(unsafe.Sizeof(kernel.Choice{}))
	groupBytes  = int(unsafe.Sizeof(kernel.Group{}))
	splitBytes  = int(unsafe.Sizeof(kernel.Split{}))
)

// layout lays the input of forwards of such sizes out.
func (i *input) layout(w *workspace, n sizes, steps []step) (layout, error) {
	l := layout{turns: map[*buffer]driver.Ptr{}}
	at := int64(0)
	room := func(to *driver.Ptr, count, bytes int) {
		*to = driver.Ptr(at) // for now
		at += (int64(count)*int64(bytes) + 15) &^ 15
	}
	room(&l.tokens, n.tokens, 4)
	room(&l.positions, n.tokens, 4)
	room(&l.slots, n.tokens, 4)
	room(&l.wanted, n.wanted, 4)
	room(&l.choices, n.wanted, choiceBytes)
	room(&l.groups, n.few+n.many, groupBytes)
	room(&l.splits, n.splits, splitBytes)
	for _, s := range steps {
		for _, b := range []*buffer{s.cos, s.sin} {
			if _, ok := l.turns[b]; b != nil && !ok {
				var p driver.Ptr
				room(&p, n.tokens, 4*b.width)
				l.turns[b] = p
				l.order = append(l.order, b)
			}
		}
	}
	l.bytes = at
	if at > i.bytes {
		d := w.d
		if err := d.stream.Sync(); err != nil {
			return l, explain(err)
		}
		w.forget()
		d.memory.give(i.card)
		d.card.Unpin(i.host)
		*i = input{sent: i.sent}
		size := at + at/2
		var err error
		if i.card, err = d.memory.take(size); err != nil {
			return l, err
		}
		if i.host, err = d.card.Pinned(int(size)); err != nil {
			return l, explain(err)
		}
		i.bytes = size
	}
	for _, p := range []*driver.Ptr{&l.tokens, &l.positions, &l.slots, &l.wanted, &l.choices, &l.groups, &l.splits} {
		*p += i.card
	}
	for b := range l.turns {
		l.turns[b] += i.card
	}
	return l, nil
}

// fill writes the input of a forward, when the one before has been taken to the card.
func (i *input) fill(w *workspace, l layout, in *device.Input) error {
	if err := i.sent.Sync(); err != nil {
		return err
	}
	set := func(at driver.Ptr, values []byte) { copy(i.host[at-i.card:], values) }
	set(l.tokens, bytesOf(in.Tokens))
	if len(in.Positions) >= len(in.Tokens) {
		set(l.positions, bytesOf(in.Positions[:len(in.Tokens)]))
	}
	set(l.slots, bytesOf(w.views.slots))
	set(l.groups, bytesOf(w.views.groups))
	set(l.splits, bytesOf(w.views.splits))
	wanted := valuesOf[int32](i.host[l.wanted-i.card:][:4*len(in.Wanted)])
	for j, row := range in.Wanted {
		wanted[j] = int32(row)
	}
	choices := valuesOf[kernel.Choice](i.host[l.choices-i.card:][:choiceBytes*len(in.Choices)])
	for j, c := range in.Choices {
		choices[j] = kernel.Choice{Temperature: c.Temperature, TopP: c.TopP, MinP: c.MinP, TopK: c.TopK, Uniform: c.Uniform}
	}
	for _, b := range l.order {
		if b.mirror == nil {
			return fmt.Errorf("a forward of %d rows turns by angles that nobody wrote", len(in.Tokens))
		}
		set(l.turns[b], bytesOf(b.mirror[:len(in.Tokens)*b.width]))
		b.clean()
	}
	return nil
}
