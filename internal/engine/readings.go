package engine

import (
	"container/list"
	"slices"
	"sync"

	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
)

// reading is text that was read in sight of evidence: the spans of a stride that has
// ended. The next stride goes on with them where it has the same evidence and its tail
// begins at the same token: an echo of the whole turn, or text behind prepended
// evidence. Its keys and values are those that encoding it again would give, bit for
// bit; they never become context.
type reading struct {
	stride   *stride
	evidence []lm.Evidence
	layout   placement.Layout
	text     int // tokens of the text that its tails hold: those before this one
}

// readings holds the last reading of each sequence, until its next stride takes it, or
// its pages are needed elsewhere.
type readings struct {
	mu    sync.Mutex
	of    map[*Sequence]*list.Element
	order *list.List // of *Sequence and reading, the most recent first
}

type heldReading struct {
	of *Sequence
	reading
}

func newReadings() *readings { return &readings{of: map[*Sequence]*list.Element{}, order: list.New()} }

// put holds a sequence's reading; it has none yet.
func (r *readings) put(s *Sequence, held reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of[s] = r.order.PushFront(heldReading{s, held})
}

// take returns the sequence's reading, which is no longer held, or nil.
func (r *readings) take(s *Sequence) *reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	el := r.of[s]
	if el == nil {
		return nil
	}
	delete(r.of, s)
	held := r.order.Remove(el).(heldReading)
	return &held.reading
}

// evict gives up the least recent reading; it reports whether there was one.
func (r *readings) evict() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	el := r.order.Back()
	if el == nil {
		return false
	}
	held := r.order.Remove(el).(heldReading)
	delete(r.of, held.of)
	held.stride.release()
	return true
}

// hold ends a stride of Continue: its spans are held where the next may go on with
// them, and forgotten otherwise.
func (s *Sequence) hold(st *stride, p placement.Placement, evidence []lm.Evidence, text int, err error) {
	// The tail of a fixed echo moves on with the text.
	stays := p.InText() || p.EchoInPlace && p.Echo > 1
	if err != nil || !stays || len(st.branches[0].view) == 0 || s.e.readings == nil {
		st.close()
		return
	}
	l := p.Layout(text, lm.Lengths(evidence))
	b := st.branches[0]
	s.e.batch.done(&s.fw)
	s.e.readings.put(s, reading{st, evidence, l, l.Branches[0].Tail + b.tail.Len()})
}

// forgetReading drops what the sequence holds of its last stride.
func (s *Sequence) forgetReading() {
	if s.e.readings == nil {
		return
	}
	if held := s.e.readings.take(s); held != nil {
		held.stride.release()
	}
}

// resume returns the held stride with a plan of what is new in it, or nil where this
// stride reads other evidence or another part of the text.
// Where only the first passage of a turn stays, it returns a stride that has it and what
// was read in its sight, without a plan.
func (s *Sequence) resume(p placement.Placement, l placement.Layout, evidence []lm.Evidence) (*stride, *plan) {
	if s.e.readings == nil {
		return nil, nil
	}
	held := s.e.readings.take(s)
	if held == nil {
		return nil, nil
	}
	same := slices.EqualFunc(held.evidence, evidence, func(a, b lm.Evidence) bool { return slices.Equal(a.Tokens, b.Tokens) })
	if p.Evidence == placement.BeforeTurn && held.stride.turn != nil && slices.Equal(l.Passages[:1], held.layout.Passages[:1]) && slices.Equal(held.evidence[0].Tokens, evidence[0].Tokens) {
		return held.stride.turnOnly(), nil
	}
	if !same || !slices.Equal(l.Passages, held.layout.Passages) || !slices.Equal(l.Branches, held.layout.Branches) {
		held.stride.release()
		return nil, nil
	}
	st, pl := held.stride, &plan{}
	st.resumed = true
	for i := range st.branches {
		b := &st.branches[i]
		b.logits = b.logits[:0]
		if !p.SideBySide {
			b.weight = evidence[l.Branches[i].From].Weight
		}
		b.emit = st.emit(i, nil)
		news := s.tokens[held.text:]
		pl.segments = append(pl.segments, segment{tokens: news, view: b.view, into: b.tail, logitsFrom: len(news) - 1, emit: b.emit})
	}
	return st, pl
}

// turnOnly takes the first passage, and what was read in its sight, out of a stride that
// has ended.
func (st *stride) turnOnly() *stride {
	turn := &stride{s: st.s, plain: -1, resumed: true, first: st.first, turn: st.turn, own: []*kvcache.Span{st.first.Span, st.turn}}
	st.own = slices.DeleteFunc(st.own, func(s *kvcache.Span) bool { return s == st.first.Span || s == st.turn })
	st.release()
	return turn
}
