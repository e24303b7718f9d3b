package kernel

import "github.com/flashback-lm/flashback/internal/device/cuda/driver"

// Embed sets rows of X to those of a table that tokens name; rows of tokens below 0 stay.
// With Sum it adds instead: learned positions.
type Embed struct {
	Tokens driver.Ptr // int32 [Rows]
	Table  driver.Ptr // as stored, [rows, Width]
	X      driver.Ptr // f32 [Rows, Stride]
	Rows   int32
	Width  int32
	Stride int32
	Stored Stored
	Sum    int32
	_      int32
}

// Embed launches it.
func (s *Set) Embed(stream driver.Stream, p *Embed, early bool) error {
	return s.launch(stream, "embed", [3]int{ceil(int(p.Width), 256), int(p.Rows), 1}, 256, 0, early, p)
}

// Gather copies rows that an index names.
type Gather struct {
	Index  driver.Ptr // int32 [Rows]
	From   driver.Ptr // f32 [.., Stride]
	To     driver.Ptr // f32 [Rows, Stride]
	Rows   int32
	Width  int32
	Stride int32
	_      int32
}

// Gather launches it.
func (s *Set) Gather(stream driver.Stream, p *Gather, early bool) error {
	return s.launch(stream, "gather", [3]int{ceil(int(p.Width), 256), int(p.Rows), 1}, 256, 0, early, p)
}

// Elementwise is one number from one or two, row by row.
type Elementwise struct {
	X, Y    driver.Ptr // f32 [Rows, XStride], [Rows, YStride]; Y may be 0
	To      driver.Ptr // [Rows, ToStride]; may be X where it is f32
	Rows    int32
	Width   int32
	XStride int32
	YStride int32
	ToWidth int32 // elements from one row of To to the next
	Half    int32 // of To: 0 f32, 1 f16, 2 bf16
	Op      Op
	By      float32
}

// Op is the function of Elementwise.
type Op int32

// The functions.
const (
	OpCopy     Op = iota // x
	OpAdd                // x + y
	OpScale              // x · By
	OpCap                // By · tanh(x / By)
	OpActivate           // f(x) · y, or f(x) without Y; the Activation is added to Op
)

// Elementwise launches it.
func (s *Set) Elementwise(stream driver.Stream, p *Elementwise, early bool) error {
	return s.launch(stream, "elementwise", [3]int{ceil(int(p.Width), 256), int(p.Rows), 1}, 256, 0, early, p)
}
