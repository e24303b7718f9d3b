package server

import (
	"os"
	"runtime"
	"runtime/debug"

	"github.com/flashback-lm/flashback"
)

// headroom is up to how many bytes of garbage wait for the collector.
const headroom = 8 << 20

// FitProcess has Go's runtime suit a process that holds large buffers and whose threads
// compute. It is called once the model is loaded, and leaves alone what GOGC and
// GOMEMLIMIT say, or GOMAXPROCS.
func FitProcess(m flashback.Info) {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.FreeOSMemory() // what loading has left
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		debug.SetGCPercent(garbagePercent(int64(now.HeapAlloc) + m.KVBudget))
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), m.Threads+answering))
	}
}

// garbagePercent returns how much the collector lets a heap grow that has so many bytes
// alive. By default that is as much again, which suits a heap of small things: here nearly
// all of it are weights, keys and values, which stay and hold no pointers, so that looking
// through it takes a millisecond or two however large it is.
func garbagePercent(alive int64) int {
	return int(max(1, min(100, 100*headroom/max(1, alive))))
}

// answering is how many of Go's processors there are beside those that compute. A
// goroutine that becomes ready while all compute waits until one of them is preempted, 10
// ms or more; with one to spare it is at once the system's to schedule.
const answering = 2
