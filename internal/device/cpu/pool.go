package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// task is work that is cut into units; a unit may run on any worker.
type task interface {
	run(worker, unit int)
}

// spins is how often a waiting goroutine looks before it parks, about 20 µs: a
// forward issues its next task sooner than that.
const spins = 4000

// pool runs one task at a time on a fixed number of workers, the caller being
// worker 0. Workers spin briefly between tasks, then park.
type pool struct {
	workers int

	task    task
	units   int64
	next    atomic.Int64 // next unit to take
	pending atomic.Int64 // workers that have not finished the task

	epoch  atomic.Uint64 // counts tasks; a change is the signal to start
	closed atomic.Bool

	mu     sync.Mutex
	wake   sync.Cond
	parked atomic.Int64
}

func newPool(workers int) *pool {
	p := &pool{workers: max(1, workers)}
	p.wake.L = &p.mu
	for w := 1; w < p.workers; w++ {
		go p.loop(w)
	}
	return p
}

// run calls t.run for each of the units and returns when all are done.
func (p *pool) run(t task, units int) {
	if p.workers == 1 || units <= 1 {
		for u := range units {
			t.run(0, u)
		}
		return
	}
	p.task, p.units = t, int64(units)
	p.next.Store(0)
	p.pending.Store(int64(p.workers - 1))
	p.signal()
	p.take(0)
	for i := 0; p.pending.Load() != 0; i++ {
		if i > spins/8 {
			runtime.Gosched()
		}
	}
	p.task = nil
}

// close ends the workers.
func (p *pool) close() {
	p.closed.Store(true)
	p.signal()
}

func (p *pool) signal() {
	p.epoch.Add(1)
	if p.parked.Load() > 0 {
		p.mu.Lock()
		p.wake.Broadcast()
		p.mu.Unlock()
	}
}

func (p *pool) take(worker int) {
	for {
		u := p.next.Add(1) - 1
		if u >= p.units {
			return
		}
		p.task.run(worker, int(u))
	}
}

func (p *pool) loop(worker int) {
	for seen := uint64(0); ; {
		seen = p.await(seen)
		if p.closed.Load() {
			return
		}
		p.take(worker)
		p.pending.Add(-1)
	}
}

// await returns the epoch once it differs from seen.
func (p *pool) await(seen uint64) uint64 {
	for range spins {
		if e := p.epoch.Load(); e != seen {
			return e
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parked.Add(1)
	defer p.parked.Add(-1)
	for p.epoch.Load() == seen {
		p.wake.Wait()
	}
	return p.epoch.Load()
}
