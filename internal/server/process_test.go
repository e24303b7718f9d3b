package server

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/flashback-lm/flashback"
)

// TestFitProcess: the heap may grow by what the program says and not by as much again, and
// there are processors of Go's beside those that compute; unless the environment says
// otherwise.
func TestFitProcess(t *testing.T) {
	for _, c := range []struct{ alive, percent int }{{0, 100}, {1 << 20, 100}, {64 << 20, 12}, {400 << 20, 2}, {64 << 30, 1}} {
		if got := garbagePercent(int64(c.alive)); got != c.percent {
			t.Errorf("with %d bytes alive the heap may grow by %d %%, want %d", c.alive, got, c.percent)
		}
	}
	percent, processors := debug.SetGCPercent(100), runtime.GOMAXPROCS(0)
	t.Cleanup(func() { debug.SetGCPercent(percent); runtime.GOMAXPROCS(processors) })
	m := flashback.Info{Threads: processors + 3, KVBudget: 400 << 20}
	for _, c := range []struct {
		gogc, gomaxprocs    string
		percent, processors int
	}{{"100", "4", 100, processors}, {"", "", 1, processors + 3 + answering}} {
		t.Setenv("GOGC", c.gogc)
		t.Setenv("GOMEMLIMIT", "")
		t.Setenv("GOMAXPROCS", c.gomaxprocs)
		FitProcess(m)
		if got := debug.SetGCPercent(100); got != c.percent {
			t.Errorf("GOGC=%q: the heap may grow by %d %%, want %d", c.gogc, got, c.percent)
		}
		if got := runtime.GOMAXPROCS(0); got != c.processors {
			t.Errorf("GOMAXPROCS=%q: %d processors, want %d", c.gomaxprocs, got, c.processors)
		}
	}
}
