package cuda

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// What the card has loaded.
type (
	// matrix is packed weights [rows, cols].
	matrix struct {
		rows, cols int
		format     kernel.Format
		at, scale  driver.Ptr
	}
	// table is rows as they are stored.
	table struct {
		rows, width int
		stored      kernel.Stored
		at          driver.Ptr
	}
	// vector is f32.
	vector struct {
		width int
		at    driver.Ptr
	}
	// factors are A [rank, in] and B [out, rank] in f32.
	factors struct {
		in, out, rank int
		scale         float32
		a, b          driver.Ptr
	}
)

func (m *matrix) Size() (out, in int)    { return m.rows, m.cols }
func (t *table) Size() (rows, width int) { return t.rows, t.width }
func (v *vector) Width() int             { return v.width }
func (f *factors) Size() (out, in int)   { return f.out, f.in }
func (m *matrix) bytes() int64           { return m.format.Bytes(m.rows, m.cols) + m.scaleBytes() }
func (m *matrix) scaleBytes() int64      { return scaleBytes(m.format, m.rows) }
func scaleBytes(f kernel.Format, rows int) int64 {
	if f != kernel.F8 {
		return 0
	}
	return int64(rows+7) / 8 * 8 * 4
}

// asStored are the types that the card reads as they are; the host rounds others to f16.
var asStored = map[tensor.Type]kernel.Stored{
	tensor.F32: kernel.StoredF32, tensor.F16: kernel.StoredF16, tensor.BF16: kernel.StoredBF16, tensor.Q8_0: kernel.StoredQ8_0,
	tensor.Q4_0: kernel.StoredQ4_0, tensor.Q4_1: kernel.StoredQ4_1, tensor.Q4_K: kernel.StoredQ4K, tensor.Q6_K: kernel.StoredQ6K,
}

// format returns how a matrix is packed.
func (d *Device) format(m tensor.Matrix) kernel.Format {
	stored, ok := asStored[m.Type]
	switch {
	case d.options.F8 && m.Name != d.options.Head:
		return kernel.F8
	case ok:
		return stored.Fits()
	}
	return kernel.F16
}

// MatrixBytes returns the size of what LoadMatrix makes.
func (d *Device) MatrixBytes(m tensor.Matrix, _ device.Compute) int64 {
	f := d.format(m)
	return f.Bytes(m.Rows, m.Cols) + scaleBytes(f, m.Rows)
}

// LoadMatrix packs weights. Those whose type and size are known and whose data is not
// there are made up on the card, for measurements.
func (d *Device) LoadMatrix(m tensor.Matrix, _ device.Compute) (device.Matrix, error) {
	loaded := &matrix{rows: m.Rows, cols: m.Cols, format: d.format(m)}
	var err error
	if loaded.at, err = d.zeros(loaded.format.Bytes(m.Rows, m.Cols)); err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	if n := loaded.scaleBytes(); n > 0 {
		if loaded.scale, err = d.zeros(n); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	if err := d.settle(); err != nil { // the memory is cleared
		return nil, err
	}
	err = d.bring(m, 8, func(on driver.Stream, at driver.Ptr, stored kernel.Stored, row, n int) error {
		return d.kernels.Pack(on, &kernel.Pack{From: at, To: loaded.at, Scale: loaded.scale,
			First: int32(row), Rows: int32(n), Cols: int32(m.Cols), Stored: stored, Format: loaded.format})
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, explain(err))
	}
	return loaded, nil
}

// LoadTable copies the stored rows.
func (d *Device) LoadTable(m tensor.Matrix) (device.Table, error) {
	t := &table{rows: m.Rows, width: m.Cols}
	stored, rowBytes := storedAs(m.Type, m.Cols)
	t.stored = stored
	var err error
	if t.at, err = d.zeros(int64(m.Rows) * int64(rowBytes)); err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	if err := d.settle(); err != nil {
		return nil, err
	}
	err = d.bring(m, 1, func(on driver.Stream, at driver.Ptr, _ kernel.Stored, row, n int) error {
		return on.Copy(t.at+driver.Ptr(row*rowBytes), at, int64(n)*int64(rowBytes))
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, explain(err))
	}
	return t, nil
}

// storedAs returns as what the card reads weights of a type, and how long a row is.
func storedAs(t tensor.Type, cols int) (kernel.Stored, int) {
	if stored, ok := asStored[t]; ok {
		return stored, t.RowBytes(cols)
	}
	return kernel.StoredF16, 2 * cols
}

// bring takes rows of a matrix to the card, chunk by chunk.
func (d *Device) bring(m tensor.Matrix, whole int, use func(on driver.Stream, at driver.Ptr, stored kernel.Stored, row, n int) error) error {
	stored, rowBytes := storedAs(m.Type, m.Cols)
	var fill func(to []byte, row, n int)
	random := m.Data == nil && m.Type.BlockWeights() == 1
	switch {
	case random: // the card makes them
		fill = func([]byte, int, int) {}
	case m.Data == nil:
		fill = func(to []byte, _, _ int) { makeUpBlocks(to, m.Type) }
	case isStored(m.Type):
		fill = func(to []byte, row, n int) { copyAside(to, m.Data[row*rowBytes:(row+n)*rowBytes]) }
	default:
		fill = func(to []byte, row, n int) { halves(to, m, row, n) }
	}
	return d.staging.each(m.Rows, rowBytes, whole, !random, fill, func(on driver.Stream, at driver.Ptr, row, n int) error {
		if random {
			err := d.kernels.Random(on, &kernel.Random{To: at, Count: uint64(n * m.Cols), Seed: d.seed.Add(1),
				Std: float32(1 / math.Sqrt(float64(m.Cols))), Stored: stored})
			if err != nil {
				return err
			}
		}
		return use(on, at, stored, row, n)
	})
}

func isStored(t tensor.Type) bool { _, ok := asStored[t]; return ok }

// makeUpBlocks fills memory with the same few quantised blocks of random numbers; with zeros
// where nothing is ever rounded to the type.
func makeUpBlocks(to []byte, t tensor.Type) {
	if !quant.CanQuantize(t) {
		clear(to)
		return
	}
	numbers := make([]float32, 64*t.BlockWeights())
	r := rand.New(rand.NewPCG(1, uint64(len(to))))
	for i := range numbers {
		numbers[i] = float32(r.NormFloat64()) / 64
	}
	blocks, _ := quant.Quantize(t, numbers) // of numbers that are finite
	for len(to) > 0 {
		to = to[copy(to, blocks):]
	}
}

// copyAside copies on several threads: one does not read a file in memory as fast as
// the card takes it.
func copyAside(to, from []byte) {
	inPieces(len(from), 1<<20, func(at, end int) { copy(to[at:end], from[at:end]) })
}

// halves rounds rows to f16, on several threads too.
func halves(to []byte, m tensor.Matrix, row, n int) {
	inPieces(n, max(1, 1<<18/m.Cols), func(at, end int) {
		numbers := make([]float32, m.Cols)
		for i := at; i < end; i++ {
			quant.Row(numbers, m, row+i)
			for j, v := range numbers {
				binary.LittleEndian.PutUint16(to[2*(i*m.Cols+j):], tensor.ToHalf(v))
			}
		}
	})
}

// inPieces hands pieces of a whole to threads of their own.
func inPieces(whole, piece int, do func(at, end int)) {
	var all sync.WaitGroup
	for at := 0; at < whole; at += piece {
		end := min(at+piece, whole)
		all.Go(func() { do(at, end) })
	}
	all.Wait()
}

// LoadVector expands the vector.
func (d *Device) LoadVector(m tensor.Matrix) (device.Vector, error) {
	numbers := make([]float32, m.Cols)
	if m.Data == nil { // made up: a norm that changes nothing
		for i := range numbers {
			numbers[i] = 1
		}
	} else {
		quant.Row(numbers, m, 0)
	}
	at, err := d.put(numbers)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	return &vector{m.Cols, at}, nil
}

// LoadFactors copies both. They are given back when nobody refers to them any more.
func (d *Device) LoadFactors(a, b []float32, rank int, scale float32) (device.Factors, error) {
	f := &factors{in: len(a) / rank, out: len(b) / rank, rank: rank, scale: scale}
	var err error
	if f.a, err = d.put(a); err != nil {
		return nil, err
	}
	if f.b, err = d.put(b); err != nil {
		d.memory.give(f.a)
		return nil, err
	}
	runtime.AddCleanup(f, func(at [2]driver.Ptr) { d.memory.give(at[:]...) }, [2]driver.Ptr{f.a, f.b})
	return f, nil
}

// put copies numbers to memory of their own.
func (d *Device) put(numbers []float32) (driver.Ptr, error) {
	at, err := d.memory.take(int64(4 * len(numbers)))
	if err != nil {
		return 0, err
	}
	if err := d.card.Write(at, bytesOf(numbers)); err != nil {
		d.memory.give(at)
		return 0, explain(err)
	}
	return at, nil
}
