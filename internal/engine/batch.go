package engine

import (
	"slices"
	"sync"
	"time"

	"github.com/flashback-lm/flashback/internal/kvcache"
)

// batch puts the forwards of all sequences of an engine into chunks: first a row of
// each waiting decode (one a branch), then pieces of prefills in turns, then drafts
// where there is room left. Rows do not depend on what stands beside them, so which
// they meet changes no bit.
//
// Nobody's goroutine is the batch's own: a sequence that comes while none leads runs
// chunks until its forward has ended, those of the others along, and then lets one that
// waits go on. A sequence that is alone never waits for another goroutine.
type batch struct {
	work  *workspace
	piece int // see pieceTokens

	mu       sync.Mutex
	leading  bool // a sequence is running chunks
	decodes  []*forward
	prefills []*forward // next turn first
	chunk    []piece
	chosen   []*forward  // of the chunk
	wanted   func() bool // the chunk is: isWanted

	// Sequences that are choosing a token come back in a moment, and their rows are
	// nearly free beside those of others: the leader waits for them, but no longer than
	// a decode step takes.
	choosing []*forward
	back     chan struct{} // the last of them is
	timer    *time.Timer
	step     time.Duration // of the last chunk without a prefill
	end      time.Time     // of the last chunk
	chunks   int           // that have run

	// Sequences that write and are away for a moment, since when: they choose for longer
	// than was waited for, or look passages up. A prefill that then took whole chunks
	// would have them wait for one when they are back.
	away []absence
}

type absence struct {
	*forward
	since time.Time
}

// absent is how long a sequence that is away is thought of: one whose reader has stopped
// is to slow nobody down for long.
const absent = 250 * time.Millisecond

// pieceTokens is what a prefill gets of a chunk before it is another's turn, and all
// that prefills get of one in which others decode, or would if they were not away. Beside
// prefills of sequences that write, with which their strides begin, it is all that those
// get who have written nothing yet.
const pieceTokens = kvcache.PageTokens

// pieces is how many pieces there are in what a device is fast at: there a piece is greater,
// since each forward reads all weights.
const pieces = 8

// sharedRows is up to how many rows of a chunk that several sequences share may be
// drafts: few rows wait for memory, and one more costs little; many compute, and a draft
// that comes to nothing costs as much as a token of somebody else.
const sharedRows = 8

func newBatch(w *workspace) *batch {
	b := &batch{work: w, piece: pieceTokens, back: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	b.timer.Stop()
	b.wanted = b.isWanted
	if w.core != nil {
		b.piece = max(b.piece, w.dev.Info().Rows/pieces)
	}
	return b
}

// run encodes f and returns when that has ended.
func (b *batch) run(f *forward) {
	b.mu.Lock()
	b.leave(f)
	if f.decodes = f.decodes && len(f.segments) <= b.work.batch; f.decodes {
		b.decodes = append(b.decodes, f)
	} else {
		b.prefills = append(b.prefills, f)
	}
	if b.leading {
		b.mu.Unlock()
		<-f.signal
		b.mu.Lock()
		if f.ended {
			b.mu.Unlock()
			return
		}
	}
	b.leading = true
	for !f.ended {
		b.await()
		b.compute(f)
	}
	b.leading = false
	if next := b.first(); next != nil {
		b.leading = true // until it wakes, too
		next.signal <- struct{}{}
	}
	b.mu.Unlock()
}

// first returns a forward that waits, or nil.
func (b *batch) first() *forward {
	switch {
	case len(b.decodes) > 0:
		return b.decodes[0]
	case len(b.prefills) > 0:
		return b.prefills[0]
	}
	return nil
}

// done says that f's sequence has chosen its token and will not decode it, but perhaps
// goes on in a moment.
func (b *batch) done(f *forward) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leave(f)
	if f.writes {
		b.away = append(b.away, absence{f, time.Now()})
	}
}

// gone says that f's sequence has ended.
func (b *batch) gone(f *forward) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leave(f)
}

// awaits reports whether a sequence that writes will be back in a moment.
func (b *batch) awaits() bool {
	b.away = slices.DeleteFunc(b.away, func(a absence) bool { return time.Since(a.since) > absent })
	return len(b.away) > 0
}

// progress returns how many chunks have run.
func (b *batch) progress() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.chunks
}

// leave notes that f is neither chosen from nor away any more.
func (b *batch) leave(f *forward) {
	b.away = slices.DeleteFunc(b.away, func(a absence) bool { return a.forward == f })
	i := slices.Index(b.choosing, f)
	if i < 0 {
		return
	}
	b.choosing = slices.Delete(b.choosing, i, i+1)
	if len(b.choosing) == 0 {
		select {
		case b.back <- struct{}{}:
		default:
		}
	}
}

// await waits for the sequences that are choosing. Those that take too long are away, and
// not waited for again until they come back. b.mu is held, but for the waiting.
func (b *batch) await() {
	for len(b.choosing) > 0 {
		left := b.step - time.Since(b.end)
		if left <= 0 {
			for _, f := range b.choosing {
				b.away = append(b.away, absence{f, time.Now()})
			}
			b.choosing = b.choosing[:0]
			return
		}
		b.mu.Unlock()
		b.timer.Reset(left)
		select {
		case <-b.back:
		case <-b.timer.C:
		}
		b.timer.Stop()
		b.mu.Lock()
	}
}

// compute runs one chunk and ends the forwards that it completes; all but the
// leader's are told. b.mu is held, but for the chunk.
func (b *batch) compute(leader *forward) {
	prefills := b.fill()
	if len(b.chunk) > 0 {
		b.mu.Unlock()
		start := time.Now()
		err := b.work.encode(b.chunk, b.wanted)
		b.mu.Lock()
		b.end = time.Now()
		b.chunks++
		if err == nil && !prefills {
			b.step = b.end.Sub(start)
		}
		for _, f := range b.chosen {
			f.settle(err)
		}
	}
	b.decodes = b.release(b.decodes, leader)
	b.prefills = b.release(b.prefills, leader)
}

// isWanted reports whether anybody still wants the chunk.
func (b *batch) isWanted() bool {
	for _, f := range b.chosen {
		if f.ctx.Err() == nil {
			return true
		}
	}
	return false
}

// settle notes what a chunk did for the forward, and that it ends with the chunk's
// error.
func (f *forward) settle(err error) {
	switch {
	case err != nil:
		f.err, f.ended = err, true
		if canceled := f.ctx.Err(); canceled != nil {
			f.err = canceled
		}
	case f.failed() != nil:
		f.err, f.ended = f.failed(), true
	case f.decodes:
		f.drafts, f.ended = f.rows-1, true
	default:
		f.left -= f.rows
		f.ended = f.left == 0
	}
	f.writes = f.writes || f.samples && f.ended && f.err == nil
}

// release takes the ended forwards out of those that wait and wakes their sequences.
func (b *batch) release(waiting []*forward, leader *forward) []*forward {
	for _, f := range waiting {
		if !f.ended {
			continue
		}
		if f.samples && f.err == nil {
			b.choosing = append(b.choosing, f)
		}
		if f != leader {
			f.signal <- struct{}{}
		}
	}
	return slices.DeleteFunc(waiting, func(f *forward) bool { return f.ended })
}

// fill fills the next chunk and reports whether it holds a piece of a prefill.
// Forwards that were cancelled end here.
func (b *batch) fill() (prefills bool) {
	b.chunk, b.chosen = b.chunk[:0], b.chosen[:0]
	room := b.work.batch
	for _, f := range b.decodes {
		if f.cancelled() || len(f.segments) > room {
			continue
		}
		f.rows = 1
		room -= len(f.segments)
		b.chosen = append(b.chosen, f)
	}
	decodes := len(b.chosen)
	room -= b.share(room)
	prefills = len(b.chosen) > decodes
	if len(b.chosen) > 1 {
		room = min(room, max(0, sharedRows-(b.work.batch-room)))
	}
	for _, f := range b.chosen[:decodes] {
		drafts := min(f.drafts, room/len(f.segments))
		f.rows += drafts
		room -= drafts * len(f.segments)
		for i := range f.segments {
			b.chunk = append(b.chunk, piece{segment: &f.segments[i], count: f.rows, entry: f.entries[i]})
		}
	}
	for _, f := range b.chosen[decodes:] {
		b.chunk = f.cut(b.chunk, f.rows)
	}
	return prefills
}

// share gives prefills their rows of up to room, in turns, and returns how many.
func (b *batch) share(room int) int {
	if len(b.chosen) > 0 || b.awaits() {
		room = min(room, b.piece)
	}
	given, served, fresh := 0, 0, room
	for _, f := range b.prefills {
		f.rows = 0
		if !f.cancelled() && f.writes {
			fresh = min(room, b.piece)
		}
	}
	for before := -1; given < room && given > before; {
		before = given
		for i, f := range b.prefills {
			n := min(b.piece, f.left-f.rows, room-given)
			if !f.writes {
				n = min(n, fresh)
			}
			if f.ended || n <= 0 {
				continue
			}
			if f.rows == 0 {
				b.chosen = append(b.chosen, f)
			}
			if !f.writes {
				fresh -= n
			}
			f.rows += n
			given += n
			served = i + 1
		}
	}
	// The next turn is that of the one behind the last.
	if served < len(b.prefills) {
		b.turn(served)
	}
	return given
}

// turn puts the first n prefills behind the others.
func (b *batch) turn(n int) {
	slices.Reverse(b.prefills[:n])
	slices.Reverse(b.prefills[n:])
	slices.Reverse(b.prefills)
}

// cancelled ends a forward whose caller has lost interest.
func (f *forward) cancelled() bool {
	if err := f.ctx.Err(); err != nil && !f.ended {
		f.err, f.ended = err, true
	}
	return f.ended
}
