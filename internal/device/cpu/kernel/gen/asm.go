package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// function begins a function that keeps none of its pointers.
func function(name, signature, doc string) {
	TEXT(name, NOSPLIT, "func("+signature)
	Pragma("noescape")
	Doc(name + " " + doc)
}

// finish returns. Upper halves of vectors that are left set would slow down all
// of Go's own SSE code.
func finish() {
	VZEROUPPER()
	RET()
}

// labels numbers the labels of a function, which expansions of one macro share
// otherwise.
var labels int

func label(name string) string {
	labels++
	return fmt.Sprintf("%s%d", name, labels)
}

// loop runs body count times; count is a register, which it uses up. A count of
// zero runs it not at all.
func loop(count reg.Register, body func()) {
	top, end := label("loop"), label("end")
	TESTQ(count, count)
	JZ(LabelRef(end))
	Label(top)
	body()
	DECQ(count)
	JNZ(LabelRef(top))
	Label(end)
}

// while runs body, which takes step from left, as long as left is not below it.
func while(left reg.Register, step int, body func()) {
	top, end := label("while"), label("end")
	Label(top)
	CMPQ(left, imm(step))
	JL(LabelRef(end))
	body()
	SUBQ(imm(step), left)
	JMP(LabelRef(top))
	Label(end)
}

func imm(n int) Constant { return U32(uint32(n)) }

// param loads an argument of the function into a register.
func param(name string) reg.GPVirtual {
	r := GP64()
	Load(Param(name), r)
	return r
}

// address is where an argument or a result stands.
func address(c gotypes.Component) Mem {
	b, err := c.Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// bytes turns a count of f32 in a register into one of bytes.
func bytes(r reg.GPVirtual) reg.GPVirtual {
	SHLQ(U8(2), r)
	return r
}

// copyOf returns a new register with the value of r.
func copyOf(r reg.GPVirtual) reg.GPVirtual {
	c := GP64()
	MOVQ(r, c)
	return c
}

// threefold returns three times r.
func threefold(r reg.GPVirtual) reg.GPVirtual {
	t := GP64()
	LEAQ(Mem{Base: r, Index: r, Scale: 2}, t)
	return t
}

func index(base, at reg.GPVirtual) Mem { return Mem{Base: base, Index: at, Scale: 1} }

// rows addresses the same column of consecutive rows.
type rows struct {
	base    reg.GPVirtual
	stride  reg.GPVirtual
	stride3 reg.GPVirtual // three strides, where there are four rows
	second  reg.GPVirtual // base of row 4, where there are eight
}

// at is the operand at a displacement in row r.
func (w rows) at(r, disp int) Mem {
	m := Mem{Base: w.base, Disp: disp}
	if r >= 4 {
		m.Base, r = w.second, r-4
	}
	switch r {
	case 1, 2:
		m.Index, m.Scale = w.stride, uint8(r)
	case 3:
		m.Index, m.Scale = w.stride3, 1
	}
	return m
}

// right moves by n bytes within the rows.
func (w rows) right(n int) {
	ADDQ(imm(n), w.base)
	if w.second != nil {
		ADDQ(imm(n), w.second)
	}
}

// down moves by 1, 4 or 8 rows.
func (w rows) down(n int) {
	if n == 1 {
		ADDQ(w.stride, w.base)
	}
	for ; n >= 4; n -= 4 {
		LEAQ(Mem{Base: w.base, Index: w.stride, Scale: 4}, w.base)
	}
}

// copy is w with a base of its own.
func (w rows) copy() rows {
	w.base = copyOf(w.base)
	return w
}
