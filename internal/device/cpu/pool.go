package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// task is work that is cut into units; a unit may run on any worker.
type task interface {
	run(worker, unit int)
}

// rangeTask is a task that does better on neighbouring units together.
type rangeTask interface {
	task
	runRange(worker, first, end int)
}

// A waiting goroutine looks for patience before it parks: a decoded token hands
// out some 150 tasks, and on a busy host a thread that parks between two of them
// costs more than its looking does. It is a time and not a number, since a look
// takes ten times longer under the race detector.
const (
	patience = time.Millisecond
	looks    = 1000 // between two readings of the clock, about 5 µs
)

// pool runs one task at a time on a fixed number of workers, the caller being
// worker 0. A worker takes units from the front of a run of its own, because
// neighbouring units read neighbouring weights and memory likes to be read in
// order; then it takes from the back of what the others have left. Nobody waits
// for a worker that holds no unit, so one that the operating system keeps off its
// core delays nothing. Workers spin between tasks, then park.
type pool struct {
	workers int

	task   task
	ranged rangeTask    // task, if it is one
	runs   []run        // one a worker
	done   atomic.Int64 // units of the task that have run
	_      line

	epoch  atomic.Uint64 // counts tasks; a change is the signal to look for units
	closed atomic.Bool
	parked atomic.Int64
	_      line

	mu   sync.Mutex
	wake sync.Cond
}

// run holds units that nobody has taken yet: first<<32 | end. Whoever changes it
// owns the units that it took away, whichever task they belong to by then, and
// while it owns some the pool's task stays.
type run struct {
	left atomic.Uint64
	_    line
}

// line keeps what follows off the cache lines of what precedes, the neighbour
// that processors fetch along included.
type line [128]byte

func newPool(workers int) *pool {
	p := &pool{workers: max(1, workers)}
	p.runs = make([]run, p.workers)
	p.wake.L = &p.mu
	for w := 1; w < p.workers; w++ {
		go p.loop(w)
	}
	return p
}

// run calls t.run for each of the units and returns when all are done.
func (p *pool) run(t task, units int) {
	p.task = t
	p.ranged, _ = t.(rangeTask)
	defer p.forget()
	if p.workers == 1 || units <= 1 {
		p.units(0, 0, units)
		return
	}
	p.done.Store(0)
	for w := range p.runs {
		p.runs[w].left.Store(uint64(w*units/p.workers)<<32 | uint64((w+1)*units/p.workers))
	}
	p.signal()
	p.take(0)
	for i := 1; p.done.Load() != int64(units); i++ {
		if i%looks == 0 {
			runtime.Gosched()
		}
	}
}

func (p *pool) forget() { p.task, p.ranged = nil, nil }

// units runs the task's units from first to end-1.
func (p *pool) units(worker, first, end int) {
	if p.ranged != nil {
		p.ranged.runRange(worker, first, end)
		return
	}
	for u := first; u < end; u++ {
		p.task.run(worker, u)
	}
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

// take runs units until there is none left to take.
func (p *pool) take(worker int) {
	for i := range p.workers {
		r := &p.runs[(worker+i)%p.workers]
		for {
			first, end := r.take(i == 0)
			if first == end {
				break
			}
			p.units(worker, first, end)
			p.done.Add(int64(end - first))
		}
	}
}

// take takes half of what is left, rounded up: from the front for the run's own
// worker, from the back for others.
func (r *run) take(own bool) (first, end int) {
	for {
		left := r.left.Load()
		first, end := int(left>>32), int(left&(1<<32-1))
		if first == end {
			return 0, 0
		}
		n := (end - first + 1) / 2
		if own {
			if r.left.CompareAndSwap(left, uint64(first+n)<<32|uint64(end)) {
				return first, first + n
			}
		} else if r.left.CompareAndSwap(left, uint64(first)<<32|uint64(end-n)) {
			return end - n, end
		}
	}
}

func (p *pool) loop(worker int) {
	for seen := uint64(0); ; {
		seen = p.await(seen)
		if p.closed.Load() {
			return
		}
		p.take(worker)
	}
}

// await returns the epoch once it differs from seen.
func (p *pool) await(seen uint64) uint64 {
	for start := time.Now(); time.Since(start) < patience; {
		for range looks {
			if e := p.epoch.Load(); e != seen {
				return e
			}
		}
		runtime.Gosched() // who chooses a token may need the core
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
