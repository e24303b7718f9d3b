package cuda

import (
	"math"
	"slices"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel"
)

// buffer is rows of numbers on the card: in f32, and once a product reads them in 16
// bits too. What it holds is in one of them; the plan of a forward knows in which.
type buffer struct {
	w           *workspace
	rows, width int
	full        driver.Ptr // f32 [rows, width]
	half        driver.Ptr // 16 bits [rows, kernel.Pad(width)]
	// mirror has the rows that Write has set, on the host. Those of dirty are not on the card,
	// and marked among all rows.
	mirror []float32
	dirty  []int
	marked []bool
	// out is pinned memory with the rows that have been read since the last forward.
	out     []byte
	fetched int
}

// NewBuffer returns room for rows of width numbers.
func (w *workspace) NewBuffer(rows, width int) (device.Buffer, error) {
	b := &buffer{w: w, rows: rows, width: width}
	var err error
	if b.full, err = w.d.zeros(4 * int64(rows) * int64(width)); err != nil {
		return nil, err
	}
	w.buffers = append(w.buffers, b)
	return b, nil
}

// sixteen returns the buffer in 16 bits.
func (b *buffer) sixteen() (driver.Ptr, error) {
	if b.half == 0 {
		var err error
		if b.half, err = b.w.d.memory.take(b.halfBytes()); err != nil {
			return 0, err
		}
		if err := b.w.d.stream.Zero(b.half, b.halfBytes()); err != nil {
			return 0, explain(err)
		}
	}
	return b.half, nil
}

func (b *buffer) halfBytes() int64 { return 2 * int64(b.rows) * int64(kernel.Pad(b.width)) }

// Write keeps the row until the next forward takes it to the card.
func (b *buffer) Write(row int, values []float32) {
	if b.mirror == nil {
		b.mirror, b.marked = make([]float32, b.rows*b.width), make([]bool, b.rows)
	}
	copy(b.mirror[row*b.width:(row+1)*b.width], values)
	if !b.marked[row] {
		b.marked[row] = true
		b.dirty = append(b.dirty, row)
	}
}

// clean notes that all rows are on the card.
func (b *buffer) clean() {
	for _, row := range b.dirty {
		b.marked[row] = false
	}
	b.dirty = b.dirty[:0]
}

// flush takes the rows that were written to the card.
func (b *buffer) flush() error {
	for _, row := range b.dirty {
		if err := b.w.d.card.Write(b.full+driver.Ptr(4*row*b.width), bytesOf(b.mirror[row*b.width:(row+1)*b.width])); err != nil {
			return err
		}
	}
	b.clean()
	return nil
}

// Read returns rows when all is done. If the card is lost meanwhile they are no numbers, and
// the next forward says why.
func (b *buffer) Read(row, n int) []float32 {
	d := b.w.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if row+n > b.fetched {
		// Rows are asked for one by one: those of the forward come together.
		upTo := min(max(row+n, b.w.last), b.rows)
		if err := b.fetch(upTo); err != nil {
			if d.failed == nil {
				d.failed = err
			}
			return slices.Repeat([]float32{float32(math.NaN())}, n*b.width)
		}
	}
	return valuesOf[float32](b.out)[row*b.width : (row+n)*b.width : (row+n)*b.width]
}

// fetch brings the first rows to the host.
func (b *buffer) fetch(rows int) error {
	d := b.w.d
	if b.out == nil {
		var err error
		if b.out, err = d.card.Pinned(4 * b.rows * b.width); err != nil {
			return err
		}
	}
	if err := d.stream.Sync(); err != nil {
		return err
	}
	if err := b.flush(); err != nil {
		return err
	}
	if err := d.stream.Download(b.out[:4*rows*b.width], b.full); err != nil {
		return err
	}
	b.fetched = rows
	return d.stream.Sync()
}
