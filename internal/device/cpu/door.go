package cpu

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/tensor"
)

var _ device.Device = (*Device)(nil)

// Open returns a device that computes with a set of kernels, by name, on that many
// threads. "" is the fastest set that the processor has; threads ≤ 0 are one a core.
func Open(kernels string, threads int) (*Device, error) {
	set, err := kernel.Choose(kernels)
	if err != nil {
		return nil, err
	}
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return New(set, threads), nil
}

// PreferredKV returns the format that the named kernels read fastest, of those that
// take no more than 16 bits a number.
func PreferredKV(kernels string, headDim int) (kvcache.Format, error) {
	set, err := kernel.Choose(kernels)
	if err == nil && set.FastInt16 && wholeVectors(headDim) {
		return kvcache.I16, nil
	}
	return kvcache.F16, err
}

// wholeVectors reports whether heads can be read as integers, which takes vectors of 8.
func wholeVectors(headDim int) bool { return headDim%8 == 0 }

// Info says what the device is.
func (d *Device) Info() device.Info {
	return device.Info{Name: "cpu", Kernels: d.kernels.Name, Threads: d.pool.workers}
}

// weights are a matrix [out, in]: as they are stored or, for fast compute, repacked.
type weights struct {
	stored tensor.Matrix
	panel  *kernel.Panel
}

func (w *weights) Size() (rows, cols int) { return w.stored.Rows, w.stored.Cols }

// LoadMatrix reads weights in place in exact compute, and repacks them for fast, where
// they have a form for that. A weight that is no number is then an error.
func (d *Device) LoadMatrix(m tensor.Matrix, c device.Compute) (device.Matrix, error) {
	loaded := &weights{stored: m}
	if c == device.Fast {
		var err error
		if loaded.panel, err = kernel.Repack(m); err != nil && !errors.Is(err, kernel.ErrNoPanel) {
			return nil, err
		}
	}
	if loaded.panel != nil {
		loaded.stored.Data = nil // which may be memory of its own
	}
	return loaded, nil
}

// MatrixBytes returns the size of what LoadMatrix makes of a matrix.
func (d *Device) MatrixBytes(m tensor.Matrix, c device.Compute) int64 {
	if c == device.Fast {
		return kernel.PanelBytes(m)
	}
	return 0
}

// LoadTable reads the stored rows in place.
func (d *Device) LoadTable(m tensor.Matrix) (device.Table, error) { return &weights{stored: m}, nil }

type vector []float32

func (v vector) Width() int { return len(v) }

// LoadVector expands the vector.
func (d *Device) LoadVector(m tensor.Matrix) (device.Vector, error) {
	v := make(vector, m.Cols)
	d.kernels.Dequantize(m.Type, v, m.Data)
	return v, nil
}

// LoadFactors shares a and transposes b.
func (d *Device) LoadFactors(a, b []float32, rank int, scale float32) (device.Factors, error) {
	in, out := len(a)/rank, len(b)/rank
	return &factors{LowRank{Rank: rank, In: in, Width: out, Scale: scale, A: a, BT: Transpose(nil, b, out, rank)}}, nil
}

type factors struct{ LowRank }

func (f *factors) Size() (out, in int) { return f.Width, f.In }

// NewKV returns the storage of so many pages, which take memory from their first use
// on.
func (d *Device) NewKV(shape kvcache.Shape, pages int) (kvcache.Storage, error) {
	if (shape.Format == kvcache.Q8 || shape.Format == kvcache.I16) && !wholeVectors(shape.HeadDim) {
		return nil, fmt.Errorf("keys and values in %v need heads whose width is a multiple of 8, the model's are %d wide; use f16", shape.Format, shape.HeadDim)
	}
	return NewKV(shape, pages), nil
}

// NewWorkspace returns what forwards over spans of that storage are computed in. Forwards
// of all workspaces take turns.
func (d *Device) NewWorkspace(kv kvcache.Storage) (device.Workspace, error) {
	return &workspace{d: d, kv: kv.(*KV)}, nil
}

// buffer is rows of width numbers.
type buffer struct {
	data  []float32
	width int
}

func (b *buffer) Write(row int, values []float32) { copy(b.data[row*b.width:][:b.width], values) }

func (b *buffer) Read(row, n int) []float32 {
	return b.data[row*b.width : (row+n)*b.width : (row+n)*b.width]
}

// data returns the numbers of a buffer.
func data(b device.Buffer) []float32 { return b.(*buffer).data }
