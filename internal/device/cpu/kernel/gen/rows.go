package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The exponential is 2^n·e^r with n = round(x·log₂e) and a polynomial for e^r,
// |r| ≤ ln2/2 (coefficients of Cephes' expf; error under 1 ulp). Below expLow
// the result is 0: no subnormal numbers, which are slow; above the range of f32
// it is +Inf.
const (
	expLow   = -86.9 // still 2^-125: half of it is a normal number
	expHigh  = 89
	roundUp  = 0x1.8p23 // adding it rounds to an integer, which stands in the low bits
	ln2High  = 0.693359375
	ln2Low   = -2.12194440e-4
	halfBias = 126 << 23
)

var expTerms = []float64{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1}

// exp replaces x with its exponential.
func (s *isa) exp(x reg.VecVirtual) {
	bounded, n, r, y := s.vec(), s.vec(), s.vec(), s.vec()
	// Where x is not a number, the instructions return their second operand: x.
	VMOVUPS(float(expHigh), bounded)
	VMINPS(x, bounded, bounded)
	VMOVUPS(float(expLow), n)
	VMAXPS(bounded, n, bounded)
	VMOVUPS(float(roundUp), n)
	VMOVUPS(float(math.Log2E), r)
	VFMADD231PS(r, bounded, n)
	VSUBPS(float(roundUp), n, r)
	VFNMADD231PS(float(ln2High), r, bounded)
	VFNMADD231PS(float(ln2Low), r, bounded)
	VMOVUPS(float(expTerms[0]), y)
	for _, term := range expTerms[1:] {
		VFMADD213PS(float(term), bounded, y)
	}
	VMULPS(bounded, bounded, r)
	VFMADD213PS(bounded, r, y)
	VADDPS(float(1), y, y)
	// 2^n may be out of range where the result is not: 2y · 2^(n-1).
	VADDPS(y, y, y)
	VPSLLD(U8(23), n, n)
	VPADDD(constant(halfBias), n, n)
	VMULPS(n, y, y)
	VMOVUPS(float(expLow), n)
	s.clearBelow(x, n, y)
}

// eachVector runs body for whole vectors of n elements and then for the lanes of
// a mask, if any are left. body gets the byte offset of its first element.
func (s *isa) eachVector(n reg.Register, body func(at reg.GPVirtual, k mask)) {
	at, steps := GP64(), GP64()
	XORQ(at, at)
	MOVQ(n, steps)
	SHRQ(U8(s.shift()), steps)
	loop(steps, func() {
		body(at, nil)
		ADDQ(imm(s.bytes()), at)
	})
	end := label("end")
	TESTQ(imm(s.lanes-1), n)
	JZ(LabelRef(end))
	body(at, s.mask(n))
	Label(end)
}

const minusInf = 0xff800000

func (s *isa) softmax() {
	function("softmax"+s.name, "s *float32, n int, scale float32, max float32) (newMax float32, sum float32)", "is Softmax.")
	scores, n := param("s"), param("n")
	factor, top, least, highest := s.vec(), XMM(), s.vec(), s.vec()
	VBROADCASTSS(address(Param("scale")), factor)
	VMOVSS(address(Param("max")), top)
	VMOVUPS(constant(minusInf), least)
	VMOVAPS(least, highest)
	s.eachVector(n, func(at reg.GPVirtual, k mask) {
		v := s.vec()
		load(index(scores, at), k, v)
		if k != nil {
			k.fill(v, least)
		}
		VMAXPS(v, highest, highest)
	})
	best := s.max(highest).AsX()
	VMULSS(factor.AsX(), best, best)
	VMAXSS(top, best, top)
	VMOVSS(top, address(Return("newMax")))

	none := label("none")
	bits := GP32()
	VMOVD(top, bits)
	CMPL(bits, U32(minusInf))
	JEQ(LabelRef(none))
	shift, sum := s.vec(), s.vec()
	VBROADCASTSS(top, shift)
	VXORPS(sum, sum, sum)
	s.eachVector(n, func(at reg.GPVirtual, k mask) {
		v := s.vec()
		load(index(scores, at), k, v)
		VMULPS(factor, v, v)
		VSUBPS(shift, v, v)
		s.exp(v)
		store(v, k, index(scores, at))
		if k != nil {
			k.keep(v)
		}
		VADDPS(v, sum, sum)
	})
	VMOVSS(s.sum(sum).AsX(), address(Return("sum")))
	finish()

	Label(none)
	zeros := s.zero(1)[0]
	s.eachVector(n, func(at reg.GPVirtual, k mask) {
		store(zeros, k, index(scores, at))
	})
	VMOVSS(zeros.AsX(), address(Return("sum")))
	finish()
}

func (s *isa) swiGLU() {
	function("swiGLU"+s.name, "gate *float32, up *float32, n int)", "is SwiGLU.")
	gate, up, n := param("gate"), param("up"), param("n")
	one, sign := s.vec(), s.vec()
	VMOVUPS(float(1), one)
	VMOVUPS(constant(1<<31), sign)
	s.eachVector(n, func(at reg.GPVirtual, k mask) {
		g, e, u := s.vec(), s.vec(), s.vec()
		load(index(gate, at), k, g)
		VXORPS(sign, g, e)
		s.exp(e)
		VADDPS(one, e, e)
		VDIVPS(e, g, g)
		load(index(up, at), k, u)
		VMULPS(u, g, g)
		store(g, k, index(gate, at))
	})
	finish()
}

// rmsNorm sums squares in four vectors, those behind the last four in the first.
func (s *isa) rmsNorm() {
	function("rmsNorm"+s.name, "dst *float32, x *float32, w *float32, n int, eps float32)", "is RMSNorm.")
	dst, x, w, n := param("dst"), param("x"), param("w"), param("n")
	sums, v := s.zero(4), s.vec()
	from, steps, rest := copyOf(x), copyOf(n), copyOf(n)
	SHRQ(U8(s.shift()+2), steps)
	loop(steps, func() {
		for i, sum := range sums {
			VMOVUPS(Mem{Base: from, Disp: s.bytes() * i}, v)
			VFMADD231PS(v, v, sum)
		}
		ADDQ(imm(4*s.bytes()), from)
	})
	ANDQ(imm(4*s.lanes-1), rest)
	s.eachVector(rest, func(at reg.GPVirtual, k mask) {
		load(index(from, at), k, v)
		VFMADD231PS(v, v, sums[0])
	})
	VADDPS(sums[1], sums[0], sums[0])
	VADDPS(sums[3], sums[2], sums[2])
	VADDPS(sums[2], sums[0], sums[0])
	r, count, one := s.sum(sums[0]).AsX(), XMM(), XMM()
	VXORPS(count, count, count)
	VCVTSI2SSQ(n, count, count)
	VDIVSS(count, r, r)
	VADDSS(address(Param("eps")), r, r)
	VSQRTSS(r, r, r)
	VMOVSS(float(1), one)
	VDIVSS(r, one, r)
	factor, weights := s.vec(), s.vec()
	VBROADCASTSS(r, factor)
	s.eachVector(n, func(at reg.GPVirtual, k mask) {
		load(index(x, at), k, v)
		VMULPS(factor, v, v)
		load(index(w, at), k, weights)
		VMULPS(weights, v, v)
		store(v, k, index(dst, at))
	})
	finish()
}

func (s *isa) peak() {
	function("peak"+s.name, "steps int)", "runs steps of 12 independent FMA: the peak that the others are measured by.")
	steps := param("steps")
	acc, v := s.zero(12), s.zero(1)[0]
	loop(steps, func() {
		for _, a := range acc {
			VFMADD231PS(v, v, a)
		}
	})
	finish()
}
