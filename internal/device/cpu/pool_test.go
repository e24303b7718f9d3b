package cpu

import (
	"sync/atomic"
	"testing"
	"time"
)

// tally counts how often each unit runs.
type tally struct {
	ran  []atomic.Int32
	busy func(unit int)
}

func (t *tally) run(_, unit int) {
	t.busy(unit)
	t.ran[unit].Add(1)
}

func (t *tally) check(tb testing.TB) {
	tb.Helper()
	for u := range t.ran {
		if n := t.ran[u].Load(); n != 1 {
			tb.Fatalf("unit %d of %d ran %d times", u, len(t.ran), n)
		}
	}
}

func TestPoolRunsEachUnitOnce(t *testing.T) {
	for workers := 1; workers <= 5; workers++ {
		p := newPool(workers)
		for round := range 400 {
			units := round % 37
			c := &tally{ran: make([]atomic.Int32, units), busy: func(unit int) {
				if round%50 == 0 && unit%7 == 0 {
					time.Sleep(2 * patience) // the others take what it leaves, then park
				}
			}}
			p.run(c, units)
			c.check(t)
		}
		p.close()
	}
}

// TestPoolWaitsForNoIdleWorker has workers that never come.
func TestPoolWaitsForNoIdleWorker(t *testing.T) {
	p := &pool{workers: 3, runs: make([]run, 3)}
	c := &tally{ran: make([]atomic.Int32, 20), busy: func(int) {}}
	p.run(c, len(c.ran))
	c.check(t)
}

func TestPoolAllocatesNothing(t *testing.T) {
	p := newPool(2)
	defer p.close()
	c := &tally{ran: make([]atomic.Int32, 64), busy: func(int) {}}
	if n := testing.AllocsPerRun(100, func() { p.run(c, len(c.ran)) }); n != 0 {
		t.Fatalf("%v allocations a task", n)
	}
}

// BenchmarkPool is what a task costs that does nothing.
func BenchmarkPool(b *testing.B) {
	p := newPool(2)
	defer p.close()
	c := &tally{ran: make([]atomic.Int32, 2), busy: func(int) {}}
	for b.Loop() {
		p.run(c, len(c.ran))
	}
}
