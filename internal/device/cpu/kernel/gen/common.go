package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// labels numbers the labels of a function, which expansions of one macro share
// otherwise.
var labels int

func label(name string) string {
	labels++
	return fmt.Sprintf("%s%d", name, labels)
}

// function begins a function that keeps none of its pointers.
func function(name, signature string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
}

// finish returns. Upper halves of vectors that are left set would slow down all
// of Go's own SSE code.
func finish() {
	VZEROUPPER()
	RET()
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

// param loads an argument of the function into a register.
func param(name string) reg.GPVirtual {
	r := GP64()
	Load(Param(name), r)
	return r
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

// rows addresses the same column of consecutive rows.
type rows struct {
	base    reg.GPVirtual
	stride  reg.GPVirtual
	stride3 reg.GPVirtual // three strides, where there are four rows
	second  reg.GPVirtual // base of row 4, where there are eight
}

// at is the operand at a displacement in row r.
func (s rows) at(r, disp int) Mem {
	m := Mem{Base: s.base, Disp: disp}
	if r >= 4 {
		m.Base, r = s.second, r-4
	}
	switch r {
	case 1, 2:
		m.Index, m.Scale = s.stride, uint8(r)
	case 3:
		m.Index, m.Scale = s.stride3, 1
	}
	return m
}

// advance moves to a later column.
func (s rows) advance(n int) {
	ADDQ(U32(n), s.base)
	if s.second != nil {
		ADDQ(U32(n), s.second)
	}
}

// constants are vectors in read-only memory, one value in all lanes.
var constants = map[uint32]Mem{}

// constant returns a vector of 64 bytes whose lanes are all bits.
func constant(bits uint32) Mem {
	m, ok := constants[bits]
	if !ok {
		m = GLOBL(fmt.Sprintf("c%08x", bits), RODATA|NOPTR)
		for i := range 16 {
			DATA(4*i, U32(bits))
		}
		constants[bits] = m
	}
	return m
}

func float(f float64) Mem { return constant(math.Float32bits(float32(f))) }

// The exponential is 2^n·e^r with n = round(x·log₂e) and a polynomial for e^r,
// |r| ≤ ln2/2 (coefficients of Cephes' expf; error under 1 ulp). Below expLow
// the result is 0: no subnormal numbers, which are slow; above expHigh it is +Inf.
const (
	expLow   = -86.9 // still 2^-125: the exponent of half of it is a normal number's
	expHigh  = 89
	log2e    = 1.44269504088896341
	roundUp  = 0x1.8p23 // adding it rounds to an integer, which stands in the low bits
	ln2High  = 0.693359375
	ln2Low   = -2.12194440e-4
	halfBias = 126 << 23
)

var expTerms = []float64{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1}
