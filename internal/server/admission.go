package server

import (
	"container/list"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// admission lets as many requests run at once as find room in the KV budget if each
// takes all that it may need, and has the others wait, up to a number and for a time: in
// the order of their coming, but that small ones may pass a large one a few times.
type admission struct {
	maxQueue int
	patience time.Duration
	perKey   int // requests of one key at once, waiting ones too

	mu      sync.Mutex
	limit   int // tokens of the KV budget
	free    int
	queue   *list.List    // of *ticket that wait
	tickets []*ticket     // all, the oldest first
	drained chan struct{} // closed when nothing is under way any more; nil: more is taken in
}

// ticket is a request that runs or waits to.
type ticket struct {
	key      string
	need     int
	passed   int           // by how many that came later
	admitted chan struct{} // closed when it may run
	came     time.Time
}

// running reports whether the request was admitted.
func (t *ticket) running() bool {
	select {
	case <-t.admitted:
		return true
	default:
		return false
	}
}

func newAdmission(o *Options, kvTokens int) *admission {
	return &admission{maxQueue: o.MaxQueue, patience: o.QueueTime, perKey: o.PerKey, limit: kvTokens, free: kvTokens, queue: list.New()}
}

// enter waits until a request of the key may run that needs room for so many tokens at
// most, and returns what is to be called when it has ended.
func (a *admission) enter(ctx context.Context, key *Key, need int) (leave func(), err error) {
	t := &ticket{key: key.id(), need: min(need, a.limit), admitted: make(chan struct{}), came: time.Now()}
	a.mu.Lock()
	if err := a.refuse(key); err != nil {
		a.mu.Unlock()
		return nil, err
	}
	a.tickets = append(a.tickets, t)
	at := a.queue.PushBack(t)
	a.admit()
	a.mu.Unlock()

	late := time.NewTimer(a.patience)
	defer late.Stop()
	select {
	case <-t.admitted:
	case <-ctx.Done():
		err = ctx.Err()
	case <-late.C:
		err = Unavailable(a.patience/4, "queue_timeout", "the server is busy: the request waited %v for room to run; try again later", a.patience)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil && !t.running() {
		a.queue.Remove(at)
		a.gone(t)
		a.admit() // what waited behind it may need less
		return nil, err
	}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.free += t.need
		a.gone(t)
		a.admit()
	}, nil
}

// refuse says why nothing more is taken in; a.mu is held.
func (a *admission) refuse(key *Key) error {
	if a.drained != nil {
		return draining()
	}
	if key != nil {
		n := 0
		for _, t := range a.tickets {
			if t.key == key.id() {
				n++
			}
		}
		if n >= a.perKey {
			return &Error{Status: http.StatusTooManyRequests, Type: rateLimited, Code: "too_many_requests", RetryAfter: time.Second,
				Message: "the key has as many requests under way as it may have at once; wait for one to end"}
		}
	}
	if a.queue.Len() >= a.maxQueue {
		return Unavailable(time.Second, "queue_full", "the server is busy: %d requests wait already; try again later", a.queue.Len())
	}
	return nil
}

// passes is how often a request that waits for more room than there is may be passed by
// ones that need less. Then all wait for it: none starves.
const passes = 8

// admit lets those run that wait and find room, in order; a.mu is held.
func (a *admission) admit() {
	var passed []*ticket
	for at := a.queue.Front(); at != nil; {
		t, next := at.Value.(*ticket), at.Next()
		if t.need > a.free {
			if t.passed == passes {
				return
			}
			passed = append(passed, t)
		} else {
			a.free -= t.need
			a.queue.Remove(at)
			close(t.admitted)
			for _, p := range passed {
				if p.passed++; p.passed == passes {
					return
				}
			}
		}
		at = next
	}
}

// gone forgets a ticket; a.mu is held.
func (a *admission) gone(t *ticket) {
	a.tickets = slices.DeleteFunc(a.tickets, func(other *ticket) bool { return other == t })
	if a.drained != nil && len(a.tickets) == 0 {
		close(a.drained)
	}
}

// drain, which is called once, takes nothing more in. It returns what is closed when
// nothing is under way any more.
func (a *admission) drain() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.drained = make(chan struct{}); len(a.tickets) == 0 {
		close(a.drained)
	}
	return a.drained
}

// load returns how many requests run and how many wait.
func (a *admission) load() (running, waiting int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.tickets) - a.queue.Len(), a.queue.Len()
}

// drains reports whether nothing more is taken in.
func (a *admission) drains() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.drained != nil
}

// slots returns the requests of a key; of all where there are no keys.
func (a *admission) slots(k *Key) []slot {
	a.mu.Lock()
	defer a.mu.Unlock()
	slots := []slot{}
	for _, t := range a.tickets {
		if t.key != k.id() {
			continue
		}
		state := "waiting"
		if t.running() {
			state = "running"
		}
		slots = append(slots, slot{State: state, Tokens: t.need, Age: time.Since(t.came).Seconds()})
	}
	return slots
}
