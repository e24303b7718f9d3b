package engine

import (
	"container/list"
	"slices"
	"sync"

	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
)

// readings holds text that was read in sight of evidence: of each sequence the last
// stride, which has ended, until the next one takes it or its pages are needed elsewhere.
// The next goes on with its spans where it has the same evidence and its tail begins at
// the same token: an echo of the whole turn, or text behind prepended evidence. Its keys
// and values are those that encoding it again would give, bit for bit; they never become
// context.
type readings struct {
	mu    sync.Mutex
	of    map[*Sequence]*list.Element
	order *list.List // of *stride, the most recent first
}

func newReadings() *readings { return &readings{of: map[*Sequence]*list.Element{}, order: list.New()} }

// put holds a stride of a sequence that has none held.
func (r *readings) put(st *stride) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of[st.s] = r.order.PushFront(st)
}

// take returns the sequence's stride, which is no longer held, or nil.
func (r *readings) take(s *Sequence) *stride {
	r.mu.Lock()
	defer r.mu.Unlock()
	el := r.of[s]
	if el == nil {
		return nil
	}
	return r.remove(el)
}

// remove takes a stride out; the caller has the lock.
func (r *readings) remove(el *list.Element) *stride {
	st := r.order.Remove(el).(*stride)
	delete(r.of, st.s)
	return st
}

// evict gives up the least recent stride; it reports whether there was one.
func (r *readings) evict() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	el := r.order.Back()
	if el == nil {
		return false
	}
	r.remove(el).release()
	return true
}

// hold ends a stride of Continue: its spans are held where the next may go on with
// them, and forgotten otherwise.
func (s *Sequence) hold(st *stride, p placement.Placement, err error) {
	// The tail of a fixed echo moves on with the text.
	stays := p.InText() || p.EchoInPlace && p.Echo > 1
	if err != nil || !stays || len(st.branches[0].view) == 0 || s.e.readings == nil {
		st.close()
		return
	}
	s.e.batch.done(&s.fw)
	s.e.readings.put(st)
	s.e.pool.Idle()
}

// forgetReading drops what the sequence holds of its last stride.
func (s *Sequence) forgetReading() {
	if s.e.readings == nil {
		return
	}
	if held := s.e.readings.take(s); held != nil {
		held.release()
	}
}

// resume returns the held stride with a plan of what is new in it, or nil where this
// stride reads other evidence or another part of the text. Where only the first passage of a turn stays, it returns a stride that has it and what
// was read in its sight, without a plan.
func (s *Sequence) resume(p placement.Placement, l placement.Layout, evidence []lm.Evidence) (*stride, *plan) {
	if s.e.readings == nil {
		return nil, nil
	}
	held := s.e.readings.take(s)
	if held == nil {
		return nil, nil
	}
	if p.Evidence == placement.BeforeTurn && held.turn != nil && slices.Equal(l.Passages[:1], held.layout.Passages[:1]) && slices.Equal(held.evidence[0].Tokens, evidence[0].Tokens) {
		return held.turnOnly(), nil
	}
	same := slices.EqualFunc(held.evidence, evidence, func(a, b lm.Evidence) bool { return slices.Equal(a.Tokens, b.Tokens) })
	if !same || !slices.Equal(l.Passages, held.layout.Passages) || !slices.Equal(l.Branches, held.layout.Branches) {
		held.release()
		return nil, nil
	}
	pl := &plan{}
	held.resumed = true
	news := s.tokens[held.layout.Branches[0].Tail+held.branches[0].tail.Len():] // all branches have read as far
	for i := range held.branches {
		b := &held.branches[i]
		b.logits = b.logits[:0]
		if !p.SideBySide {
			b.weight = evidence[l.Branches[i].From].Weight
		}
		b.emit = held.emit(i, nil)
		pl.segments = append(pl.segments, segment{tokens: news, view: b.view, into: b.tail, logitsFrom: len(news) - 1, emit: b.emit})
	}
	return held, pl
}

// turnOnly takes the first passage, and what was read in its sight, out of a stride that
// has ended.
func (st *stride) turnOnly() *stride {
	turn := &stride{s: st.s, plain: -1, resumed: true, first: st.first, turn: st.turn, own: []*kvcache.Span{st.first.Span, st.turn}}
	st.own = slices.DeleteFunc(st.own, func(s *kvcache.Span) bool { return s == st.first.Span || s == st.turn })
	st.release()
	return turn
}
