package cuda

import (
	"errors"
	"sync"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
)

// stagingBytes is how much of a file goes to the card at once. A chunk is copied to pinned
// memory while the one before is on its way: two of them.
const stagingBytes = 8 << 20

// staging brings what the host has to the card, through a stream of its own.
type staging struct {
	card   driver.Driver
	stream driver.Stream

	mu    sync.Mutex // held by whoever loads something
	rooms [2]room
	next  int
}

// room is where one chunk waits: on the host, and on the card until it is packed.
type room struct {
	host []byte
	card driver.Ptr
	free driver.Event // when it may be written again
}

func newStaging(card driver.Driver) (*staging, error) {
	s := &staging{card: card}
	var err error
	s.stream, err = card.NewStream()
	return s, err
}

// take returns a room that nothing is on its way from or to.
func (s *staging) take() (*room, error) {
	r := &s.rooms[s.next]
	s.next = 1 - s.next
	if r.host != nil {
		return r, r.free.Sync()
	}
	var err error
	if r.free, err = s.card.NewEvent(); err != nil {
		return nil, err
	}
	if r.card, err = s.card.Alloc(stagingBytes); err != nil {
		return nil, err
	}
	r.host, err = s.card.Pinned(stagingBytes)
	return r, err
}

// each brings rows of rowBytes each to the card, in chunks whose number of rows is a
// multiple of whole but for the last, and hands each chunk over to use, which puts work on the
// stream. It returns when all is done. Without send use makes what is on the card.
func (s *staging) each(rows, rowBytes, whole int, send bool, fill func(to []byte, row, n int), use func(at driver.Ptr, row, n int) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := stagingBytes / rowBytes / whole * whole
	if most == 0 {
		return errors.New("a row of weights is too long for a card to load")
	}
	for row := 0; row < rows; row += most {
		n := min(most, rows-row)
		r, err := s.take()
		if err != nil {
			return err
		}
		if send {
			chunk := r.host[:n*rowBytes]
			fill(chunk, row, n)
			if err := s.stream.Upload(r.card, chunk); err != nil {
				return err
			}
		}
		if err := errors.Join(use(r.card, row, n), s.stream.Record(r.free)); err != nil {
			return err
		}
	}
	return s.stream.Sync()
}

// release gives the rooms back: models have been loaded.
func (s *staging) release() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []error
	for i := range s.rooms {
		r := &s.rooms[i]
		if r.free != nil {
			all = append(all, r.free.Sync(), r.free.Close())
		}
		all = append(all, s.card.Free(r.card), s.card.Unpin(r.host))
		*r = room{}
	}
	return errors.Join(all...)
}

func (s *staging) close() {
	s.release()
	s.stream.Close()
}
