package device

import "math"

// AttendShape says how the heads of attention are laid out. Heads/KVHeads neighbouring
// heads of queries read the same head of keys and values.
type AttendShape struct {
	Heads, KVHeads, HeadDim int
}

// Attention describes the attention of a layer.
type Attention struct {
	AttendShape
	// Scale is what products of queries and keys are multiplied by.
	Scale float64
	// Window is how many positions a row sees, its own the last; 0: all. A part of a
	// view that is Whole is seen whatever the window is.
	Window int
	// SoftCap c turns a scaled score s into c · tanh(s/c); 0: s stays.
	SoftCap float64
	// Halves says that of n pairs that are turned one is the elements i and n+i of a
	// head; else 2i and 2i+1.
	Halves bool
}

// NewAttention returns the attention of most models: all is seen, and products are
// divided by √HeadDim.
func NewAttention(s AttendShape) Attention {
	return Attention{AttendShape: s, Scale: 1 / math.Sqrt(float64(s.HeadDim))}
}

// First returns the first entry, of a span from a position start on, that is within
// the window of a row at a position. It may lie behind the span's end.
func (a *Attention) First(start, position int) int {
	if a.Window == 0 {
		return 0
	}
	return max(0, position-a.Window+1-start)
}
