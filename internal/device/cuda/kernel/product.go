package kernel

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
)

// Epilogue is what becomes of products.
type Epilogue int32

// The epilogues. y is the f32 sum of a row, times the row's scale (F8), plus its bias.
const (
	// Store sets Out [rows, Stride] of f32.
	Store Epilogue = iota
	// Add adds to Out [rows, Stride] of f32.
	Add
	// Gated sets the first segment's Out [rows, Stride], 16 bits, to f(gate)·up of two
	// segments, of equal sizes.
	Gated
	// Activated sets Out [rows, Stride], 16 bits, to f(y).
	Activated
)

// Activation is the function of the last two, numbered as device.Activation is.
type Activation int32

// The activations.
const (
	SiLU Activation = iota
	GELUTanh
	ReLU
)

// Segment is one matrix of a product.
type Segment struct {
	W, Scale, Bias driver.Ptr // packed weights; f32 scales of rows (F8, else 0); f32 bias or 0
	Out            driver.Ptr
	Rows           int32 // of W
	Stride         int32 // elements from one row of Out to the next
}

// Product is products of one input with up to three matrices of one format.
type Product struct {
	Segments [3]Segment
	// X is the input [Rows, XStride] of 16 bits (Format.Half), XStride at least Pad(Cols).
	// With Norm it is f32, and each row is divided by √(mean(x²) + Eps) and multiplied by
	// Norm [Cols] first, with the bits of Set.Norm: that is for few rows, since every
	// block does it.
	X, Norm driver.Ptr
	// Scratch is room for F16 weights, to which those of other formats are expanded where
	// Expands says so: ScratchBytes.
	Scratch    driver.Ptr
	Count      int32 // segments
	Rows       int32 // of X
	Cols       int32
	XStride    int32
	Eps        float32
	Format     Format
	Epilogue   Epilogue
	Activation Activation

	// What is filled in when it is launched: of many rows the slots in shared memory, of few
	// whether the input comes in pieces.
	slots, streamed int32
}

// expandRows is how many rows a product of quantised weights takes on Hopper without expanding them.
const expandRows = 640

// FewRows is how many rows the fused norm is for.
const FewRows = 4

// ScratchBytes returns the room that Scratch must have where weights are expanded.
func ScratchBytes(f Format, cols int, rows ...int) int64 {
	if f == F16 || f == BF16 {
		return 0
	}
	bytes := int64(0)
	for _, n := range rows {
		bytes += F16.Bytes(n, cols)
	}
	return bytes
}

// Product launches it: one kernel, or with quantised weights and many rows one before it that
// expands them.
func (s *Set) Product(stream driver.Stream, p *Product, early bool) error {
	if c, ok := s.few(p); ok {
		return s.launchFew(stream, c, early, p)
	}
	if p.Norm != 0 {
		return fmt.Errorf("a product of %d rows of %d cannot normalise its input: ask for the norm first", p.Rows, p.Cols)
	}
	if !s.Expands(p) {
		return s.launchMany(stream, p, early)
	}
	if p.Scratch == 0 {
		return fmt.Errorf("a product of %d rows needs room to expand its weights", p.Rows)
	}
	q := *p
	at := p.Scratch
	for i := range q.Segments[:p.Count] {
		w := &q.Segments[i]
		if err := s.Expand(stream, &Expand{From: w.W, To: at, Rows: w.Rows, Cols: p.Cols, Format: p.Format}, early); err != nil {
			return err
		}
		w.W = at
		at += driver.Ptr(F16.Bytes(int(w.Rows), int(p.Cols)))
	}
	q.Format = F16
	return s.launchMany(stream, &q, false) // it reads weights before it waits for anything
}

// formatNames are the formats in the names of kernels.
var formatNames = [formats]string{"f16", "bf16", "f8", "q8", "q6", "q4"}

// Normalises reports whether Product can normalise its input.
func (s *Set) Normalises(p *Product) bool {
	_, ok := s.few(p)
	return ok
}

// Expands reports whether Product expands quantised weights before it multiplies them: for so
// many rows that reading them again for each tile of the input costs more.
func (s *Set) Expands(p *Product) bool {
	if p.Format <= BF16 {
		return false
	}
	if _, ok := s.few(p); ok {
		return false
	}
	return !s.hopper() || p.Rows > expandRows
}

// groups returns the groups of 8 weight rows.
func (p *Product) groups() int {
	n := 0
	for _, w := range p.Segments[:p.Count] {
		n += ceil(int(w.Rows), 8)
	}
	return n
}
