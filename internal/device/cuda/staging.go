package cuda

import (
	"errors"
	"sync"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
)

const (
	// stagingBytes is how much of a file goes to the card at once. A chunk is copied to pinned
	// memory while the one before is on its way: two of them in a lane.
	stagingBytes = 8 << 20
	// stagingLanes is how many matrices are on their way at once, so that one begins while
	// another comes to its end.
	stagingLanes = 4
)

// staging brings what the host has to the card.
type staging struct {
	card  driver.Driver
	lanes chan struct{} // a place for each that is in use

	mu    sync.Mutex
	users int // that are in each, or wait there
	idle  []*lane
}

// lane is a stream, and where the chunks wait that go through it in turns.
type lane struct {
	stream driver.Stream
	rooms  [2]room
	next   int
}

// room is where one chunk waits: on the host, and on the card until it is packed.
type room struct {
	host []byte
	card driver.Ptr
	free driver.Event // when it may be written again
}

func newStaging(card driver.Driver) *staging {
	return &staging{card: card, lanes: make(chan struct{}, stagingLanes)}
}

// each brings rows of rowBytes each to the card, in chunks whose number of rows is a
// multiple of whole but for the last, and hands each chunk over to use, which puts work on the
// stream. It returns when all is done. Without send use makes what is on the card.
func (s *staging) each(rows, rowBytes, whole int, send bool, fill func(to []byte, row, n int), use func(on driver.Stream, at driver.Ptr, row, n int) error) (err error) {
	most := stagingBytes / rowBytes / whole * whole
	if most == 0 {
		return errors.New("a row of weights is too long for a card to load")
	}
	l, err := s.enter()
	defer func() { err = errors.Join(err, s.leave(l)) }()
	if err != nil {
		return err
	}
	for row := 0; row < rows; row += most {
		n := min(most, rows-row)
		r := &l.rooms[l.next]
		l.next = 1 - l.next
		if err := r.free.Sync(); err != nil {
			return err
		}
		if send {
			chunk := r.host[:n*rowBytes]
			fill(chunk, row, n)
			if err := l.stream.Upload(r.card, chunk); err != nil {
				return err
			}
		}
		if err := errors.Join(use(l.stream, r.card, row, n), l.stream.Record(r.free)); err != nil {
			return err
		}
	}
	return l.stream.Sync()
}

// enter returns a lane that nobody else uses, or nil with an error; leave follows in any case.
func (s *staging) enter() (*lane, error) {
	s.mu.Lock()
	s.users++
	s.mu.Unlock()
	s.lanes <- struct{}{}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.idle); n > 0 {
		l := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return l, nil
	}
	l := &lane{}
	if err := l.open(s.card); err != nil {
		return nil, errors.Join(err, l.close(s.card))
	}
	return l, nil
}

// leave gives the lane back. The last one gives back the memory of all: it is needed while
// models are loaded.
func (s *staging) leave(l *lane) error {
	<-s.lanes
	s.mu.Lock()
	defer s.mu.Unlock()
	if l != nil {
		s.idle = append(s.idle, l)
	}
	if s.users--; s.users > 0 {
		return nil
	}
	var all []error
	for _, l := range s.idle {
		all = append(all, l.close(s.card))
	}
	s.idle = nil
	return errors.Join(all...)
}

func (l *lane) open(card driver.Driver) error {
	stream, err := card.NewStream()
	if err != nil {
		return err
	}
	l.stream = stream
	for i := range l.rooms {
		r := &l.rooms[i]
		free, err := card.NewEvent()
		if err != nil {
			return err
		}
		r.free = free
		if r.card, err = card.Alloc(stagingBytes); err != nil {
			return err
		}
		if r.host, err = card.Pinned(stagingBytes); err != nil {
			return err
		}
	}
	return nil
}

// close gives back what open took, all of it or what it came to, when nothing is on its way.
func (l *lane) close(card driver.Driver) error {
	if l.stream == nil {
		return nil
	}
	all := []error{l.stream.Sync()}
	for _, r := range l.rooms {
		if r.free != nil {
			all = append(all, r.free.Close())
		}
		all = append(all, card.Free(r.card), card.Unpin(r.host))
	}
	return errors.Join(append(all, l.stream.Close())...)
}
