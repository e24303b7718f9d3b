// Package cpu runs the operations of a transformer on the machine's cores. Its
// inner loops are a kernel.Set; this package cuts an operation into units of
// fixed size and hands them to threads, so that results do not depend on the
// number of threads or on how rows are batched.
package cpu

import (
	"sync"
	"sync/atomic"

	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
)

// Device is a set of kernels and the threads that run them. It does one operation at a
// time, in scratch of its own: forwards of its workspaces take turns, and who calls its
// operations with slices, as training does, is the only caller.
type Device struct {
	turn    sync.Mutex // held during a forward
	kernels *kernel.Set
	pool    *pool
	scratch []scratch // one a worker

	// Tasks are kept here so that handing one out allocates nothing.
	matmul   matmulTask
	gated    gatedTask
	quantize quantizeTask
	norm     normTask
	rows     rowTask
	store    storeTask
	attend   attendTask
	merge    mergeTask
	lowRank  lowRankTask

	rounded kernel.Quantized // a product's x

	weightBytes atomic.Int64
}

// New returns a device with that many threads.
func New(set *kernel.Set, threads int) *Device {
	d := &Device{kernels: set, pool: newPool(threads)}
	d.scratch = make([]scratch, d.pool.workers)
	d.matmul.d, d.attend.d, d.merge.d = d, d, d
	return d
}

// Close ends the threads.
func (d *Device) Close() { d.pool.close() }

// Threads returns the number of threads.
func (d *Device) Threads() int { return d.pool.workers }

// WeightBytes returns how many bytes of stored weights have been read so far.
func (d *Device) WeightBytes() int64 { return d.weightBytes.Load() }

// scratch is a worker's own memory, grown when first needed.
type scratch struct {
	panel  []float32 // dequantised weight rows
	tile   []float32 // products before they are added to a residual
	low    []float32 // x·Aᵀ of a low-rank update
	key    []uint16  // in f16, before it is stored across
	part   kernel.Quantized
	padded []float32 // a key or value, to whole blocks
	ones   []float32 // what stands for up, or a row of a table
	coded  kernel.Quantized
	attend attendScratch
}

func grow[T any](s *[]T, n int) []T {
	if cap(*s) < n {
		*s = make([]T, n)
	}
	return (*s)[:n]
}

// inlineRows is the number of rows up to which waking threads costs more than
// it saves for work of a few microseconds a row.
const inlineRows = 3

// eachRow runs a unit a row; small batches stay on the caller's thread.
func (d *Device) eachRow(t task, rows int) {
	if rows > inlineRows {
		d.pool.run(t, rows)
		return
	}
	for r := range rows {
		t.run(0, r)
	}
}

type normTask struct {
	d         *Device
	dst, x, w []float32
	eps       float32
}

// RMSNorm normalises each row of x [rows, len(w)] into dst, which may be x.
func (d *Device) RMSNorm(dst, x, w []float32, rows int, eps float32) {
	d.norm = normTask{d, dst, x, w, eps}
	d.eachRow(&d.norm, rows)
}

func (t *normTask) run(_, r int) {
	n := len(t.w)
	t.d.kernels.RMSNorm(t.dst[r*n:(r+1)*n], t.x[r*n:(r+1)*n], t.w, t.eps)
}
