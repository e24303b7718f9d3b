// Package device is the door between a model and what computes it. Upper rooms say
// through it what to load, what to keep and what to do; where that lies in memory, and
// in which form, is the device's own business. Weights, keys and values and activations
// may all stay on a card: what comes back is what a Buffer is asked to Read.
//
// Every device promises that a row's result depends on that row only, bit for bit: not
// on the rows beside it, on how many there are, or on how a text was cut into forwards.
// The exactness of the whole engine rests on it.
package device

import (
	"errors"

	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// Device holds weights and has memory for keys and values and for forwards. Its methods
// are safe for concurrent use.
type Device interface {
	// Info says what the device is.
	Info() Info

	// WeightBytes returns how many bytes of loaded matrices forwards have read so far.
	WeightBytes() int64

	// LoadMatrix loads weights [out, in] for products. The stored bytes must stay as
	// they are until Close: a device may read them in place. A compute that cannot
	// read the storage type is an error.
	LoadMatrix(m tensor.Matrix, c Compute) (Matrix, error)

	// MatrixBytes returns how many bytes of its own LoadMatrix would take for weights of
	// that shape and storage type, whose data need not be there; 0: it reads them in place.
	MatrixBytes(m tensor.Matrix, c Compute) int64

	// LoadTable loads weights whose rows are looked up, as Embed does.
	LoadTable(m tensor.Matrix) (Table, error)

	// LoadVector loads a vector, stored as [1, width].
	LoadVector(m tensor.Matrix) (Vector, error)

	// LoadFactors loads a low-rank update from a [rank, in] and b [out, rank].
	LoadFactors(a, b []float32, rank int, scale float32) (Factors, error)

	// NewKV returns the storage of so many pages of keys and values. A format that the
	// device does not compute with is an error.
	NewKV(shape kvcache.Shape, pages int) (kvcache.Storage, error)

	// NewWorkspace returns what forwards over spans of that storage are computed in.
	NewWorkspace(kv kvcache.Storage) (Workspace, error)

	// Close ends the device. Nothing that it made may be used afterwards.
	Close()
}

// What errors of a device with memory of its own may be.
var (
	// ErrMemory says that it has too little of it left. What was there stays.
	ErrMemory = errors.New("the device's memory is full")
	// ErrLost says that the device does not answer any more; nothing on it can be used.
	ErrLost = errors.New("the device is lost: the program must be started again")
)

// Info says what a device is.
type Info struct {
	Name    string // such as cpu
	Kernels string // the compute path
	Threads int    // of the machine's, that compute
	Memory  int64  // bytes of its own; 0: it shares the machine's
	// Rows is how many rows of a forward it takes to be fast at; 0: so few that it does not
	// matter.
	Rows int
}

// Compute says how numbers are rounded. Within either, results are bit-equal
// whatever the batch, the chunking and the threads.
type Compute string

// The computes.
const (
	// Exact expands weights to f32 and keeps activations in f32.
	// Every comparison with a reference uses it.
	Exact Compute = "exact"
	// Fast rounds activations to int8 in blocks of 32 and multiplies them with weights
	// that were repacked when they were loaded.
	Fast Compute = "fast"
)

// What a device has loaded. Only the device that made one can read it.
type (
	// Matrix is weights [out, in] of products.
	Matrix interface{ Size() (out, in int) }
	// Table is rows to look up.
	Table interface{ Size() (rows, width int) }
	// Vector is the scale or the bias of a norm, or the bias of a product [width].
	Vector interface{ Width() int }
	// Factors are a low-rank update: Scale · x·Aᵀ·Bᵀ, from in to out.
	Factors interface{ Size() (out, in int) }
)
