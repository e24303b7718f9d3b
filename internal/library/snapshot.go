package library

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// snapshot is one index, or several that are searched as one, open in one state. Its
// files are given back when the last that holds it lets go; the shelf holds those that
// are up to date.
type snapshot struct {
	names   []string
	stamps  []bm25.Stamp
	several *bm25.Several
	holds   atomic.Int64
	used    uint64 // when it was last asked for, of the shelf's count
}

// hold reports whether the snapshot is open, and keeps it so until release.
func (s *snapshot) hold() bool {
	for {
		n := s.holds.Load()
		if n == 0 {
			return false
		}
		if s.holds.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (s *snapshot) release() {
	if s.holds.Add(-1) == 0 {
		s.several.Close() // of files that were only read
	}
}

// shelved is how many snapshots are kept open for those who come next.
const shelved = 32

// shelf has the snapshots that are up to date.
type shelf struct {
	l       *Library
	opening sync.Mutex // held by whoever opens one
	mu      sync.Mutex
	open    map[string]*snapshot // by the names, one after the other
	count   uint64
	closed  bool
}

// get returns the snapshot of these indexes, held.
func (h *shelf) get(names []string) (*snapshot, error) {
	stamps, err := h.stamps(names)
	if err != nil {
		return nil, err
	}
	current := func(s *snapshot) bool { return slices.EqualFunc(s.stamps, stamps, bm25.Stamp.Same) }
	old := h.held(names)
	if old != nil && current(old) {
		return old, nil
	}
	if !h.opening.TryLock() {
		if old != nil {
			return old, nil // whoever opens the new one does not keep others waiting
		}
		h.opening.Lock()
		if old = h.held(names); old != nil {
			h.opening.Unlock()
			return old, nil
		}
	}
	defer h.opening.Unlock()
	if old != nil {
		old.release()
	}
	return h.replace(names)
}

// held returns the snapshot that the shelf has of these indexes, held, or nil.
func (h *shelf) held(names []string) *snapshot {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.open[strings.Join(names, "\x00")]
	if s == nil || !s.hold() {
		return nil
	}
	h.count++
	s.used = h.count
	return s
}

// stamps returns the states that indexes are in.
func (h *shelf) stamps(names []string) ([]bm25.Stamp, error) {
	stamps := make([]bm25.Stamp, len(names))
	for i, name := range names {
		x, err := h.l.find(name)
		if err != nil {
			return nil, err
		}
		if stamps[i], err = bm25.StampOf(x.dir); err != nil {
			return nil, fmt.Errorf("index %q: %w", name, err)
		}
	}
	return stamps, nil
}

// replace opens the indexes as they are now and puts them on the shelf; h.opening is
// held. The snapshot that it returns is held.
func (h *shelf) replace(names []string) (*snapshot, error) {
	stamps, err := h.stamps(names) // before opening: a change in between is seen the next time
	if err != nil {
		return nil, err
	}
	dirs := make([]string, len(names))
	for i, name := range names {
		x, err := h.l.find(name)
		if err != nil {
			return nil, err
		}
		dirs[i] = x.dir
	}
	several, err := bm25.OpenNamed(dirs, names, bm25.Options{})
	if err != nil {
		return nil, err
	}
	s := &snapshot{names: slices.Clone(names), stamps: stamps, several: several}
	s.holds.Store(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		s.release()
		return nil, errClosed
	}
	key := strings.Join(names, "\x00")
	if h.open == nil {
		h.open = map[string]*snapshot{}
	}
	if old := h.open[key]; old != nil {
		old.release()
	} else if len(h.open) >= shelved {
		h.drop(h.stalest())
	}
	h.count++
	s.used = h.count
	s.hold()
	h.open[key] = s
	return s, nil
}

func (h *shelf) stalest() (key string) {
	for k, s := range h.open {
		if key == "" || s.used < h.open[key].used {
			key = k
		}
	}
	return key
}

// drop takes a snapshot off the shelf; h.mu is held.
func (h *shelf) drop(key string) {
	h.open[key].release()
	delete(h.open, key)
}

// renew opens all snapshots with an index of that name again, after it was changed:
// those who come from now on see the change.
func (h *shelf) renew(name string) error {
	h.opening.Lock()
	defer h.opening.Unlock()
	for _, s := range h.with(name) {
		fresh, err := h.replace(s.names)
		if err != nil {
			return err
		}
		fresh.release()
	}
	return nil
}

// with returns the snapshots that have an index of that name.
func (h *shelf) with(name string) (all []*snapshot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.open {
		if slices.Contains(s.names, name) {
			all = append(all, s)
		}
	}
	return all
}

// forget takes all snapshots with an index of that name off the shelf.
func (h *shelf) forget(name string) {
	h.opening.Lock()
	defer h.opening.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, s := range h.open {
		if slices.Contains(s.names, name) {
			h.drop(key)
		}
	}
}

func (h *shelf) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for key := range h.open {
		h.drop(key)
	}
}

var errClosed = errors.New("the library is closed")

// Reading is a snapshot that a reader holds: a retriever over one or several indexes in
// one state, whatever becomes of them meanwhile. It must be released.
type Reading struct {
	s       *snapshot
	release func()
}

var (
	_ retrieve.Retriever  = (*Reading)(nil)
	_ retrieve.Neighbours = (*Reading)(nil)
	_ retrieve.Coverer    = (*Reading)(nil)
)

// Acquire returns the indexes of these names as they are now, searched as one. Scores
// are those of one index of all; they need one analyser.
func (l *Library) Acquire(names ...string) (*Reading, error) {
	if len(names) == 0 {
		return nil, errors.New("no index is named")
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("index %q is named twice", name)
		}
	}
	s, err := l.shelf.get(names)
	if err != nil {
		return nil, err
	}
	return &Reading{s, sync.OnceFunc(s.release)}, nil
}

// Release lets the snapshot go; searches that are under way end as they would have.
func (r *Reading) Release() { r.release() }

// errReleased is what a reading that was released answers.
var errReleased = errors.New("the index was let go of already")

// Retrieve implements retrieve.Retriever.
func (r *Reading) Retrieve(ctx context.Context, q retrieve.Query) ([]retrieve.Passage, error) {
	if !r.s.hold() {
		return nil, errReleased
	}
	defer r.s.release()
	return r.s.several.Retrieve(ctx, q)
}

// Neighbour implements retrieve.Neighbours.
func (r *Reading) Neighbour(ctx context.Context, p retrieve.Passage, step int) (retrieve.Passage, bool, error) {
	if !r.s.hold() {
		return retrieve.Passage{}, false, errReleased
	}
	defer r.s.release()
	return r.s.several.Neighbour(ctx, p, step)
}

// Covered implements retrieve.Coverer.
func (r *Reading) Covered(question string, p retrieve.Passage) (float64, error) {
	if !r.s.hold() {
		return 0, errReleased
	}
	defer r.s.release()
	return r.s.several.Covered(question, p)
}

// Generations returns how many changes each index has seen, in the order of the names.
func (r *Reading) Generations() []uint64 {
	generations := make([]uint64, len(r.s.names))
	for i, p := range r.s.several.Parts() {
		generations[i] = p.Index.Info().Generation
	}
	return generations
}
