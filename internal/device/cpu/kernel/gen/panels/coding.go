// Package panels says how the blocks of a panel are laid out, for the generators of all
// processors: see kernel.Panel.
package panels

// Sizes of a panel.
const (
	BlockColumns = 32 // columns of a block, and of one of activations
	GroupRows    = 16 // rows that stand side by side
	SuperBlocks  = 8  // blocks that share the scales in front of them
)

// Coding is a form of a panel's blocks.
type Coding struct {
	Name    string
	Bits    int  // of a code
	Offsets bool // scales have offsets
	Super   bool // scales of two levels
}

// Codings are all forms.
var Codings = []Coding{
	{Name: "Nibbles", Bits: 4},
	{Name: "OffsetNibbles", Bits: 4, Offsets: true},
	{Name: "SuperNibbles", Bits: 4, Offsets: true, Super: true},
	{Name: "Fives", Bits: 5},
	{Name: "OffsetFives", Bits: 5, Offsets: true},
	{Name: "SuperFives", Bits: 5, Offsets: true, Super: true},
	{Name: "SuperSixes", Bits: 6, Super: true},
	{Name: "Wide", Bits: 8},
}

// Wide tells that a code is a byte.
func (c Coding) Wide() bool { return c.Bits == 8 }

// Zero returns the binary logarithm of the code of a weight that is 0, where scales have
// no offsets.
func (c Coding) Zero() int { return c.Bits - 1 }

// Parts is how many runs of columns of a block have a scale each.
func (c Coding) Parts() int {
	if c.Super && !c.Offsets {
		return 2
	}
	return 1
}

// Codes returns the bytes of the codes of a block of a group.
func (c Coding) Codes() int { return c.Bits * BlockColumns * GroupRows / 8 }

// Scales returns the bytes of a group's scales and offsets in f16.
func (c Coding) Scales() int {
	if c.Offsets {
		return 4 * GroupRows
	}
	return 2 * GroupRows
}

// Bytes returns the bytes of a block of a group.
func (c Coding) Bytes() int {
	if c.Super {
		return c.Codes() + 2*GroupRows
	}
	return c.Codes() + c.Scales()
}
