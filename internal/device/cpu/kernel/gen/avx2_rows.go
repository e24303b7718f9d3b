package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// expAVX2 replaces x with its exponential.
func expAVX2(x reg.VecVirtual) {
	// The constant comes second: where x is not a number, it stays.
	bounded, in, n, r, y := YMM(), YMM(), YMM(), YMM(), YMM()
	VMOVUPS(float(expHigh), bounded)
	VMINPS(x, bounded, bounded)
	VMOVUPS(float(expLow), n)
	VCMPPS(U8(1), n, bounded, in) // below expLow; false for what is no number
	VMAXPS(bounded, n, bounded)
	VMOVUPS(float(roundUp), n)
	VMOVUPS(float(log2e), r)
	VFMADD231PS(r, bounded, n) // the integer is in the low bits of n
	VSUBPS(float(roundUp), n, r)
	y0 := y
	VFNMADD231PS(float(ln2High), r, bounded)
	VFNMADD231PS(float(ln2Low), r, bounded)
	VMOVUPS(float(expTerms[0]), y0)
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
	VANDNPS(y, in, x)
}

// eachVector runs body for 8 elements at a time and then for the lanes of a
// mask, if any are left. body gets the byte offset of its first element.
func eachVector(n reg.Register, body func(at reg.GPVirtual, mask reg.VecVirtual)) {
	at, steps := GP64(), GP64()
	XORQ(at, at)
	MOVQ(n, steps)
	SHRQ(U8(3), steps)
	loop(steps, func() {
		body(at, nil)
		ADDQ(U32(32), at)
	})
	end := label("end")
	TESTQ(U32(7), n)
	JZ(LabelRef(end))
	mask := YMM()
	maskOf(n, mask)
	body(at, mask)
	Label(end)
}

func load(m Mem, mask, v reg.VecVirtual) {
	if mask == nil {
		VMOVUPS(m, v)
	} else {
		VMASKMOVPS(m, mask, v)
	}
}

func store(v, mask reg.VecVirtual, m Mem) {
	if mask == nil {
		VMOVUPS(v, m)
	} else {
		VMASKMOVPS(v, mask, m)
	}
}

func index(base, at reg.GPVirtual) Mem { return Mem{Base: base, Index: at, Scale: 1} }

func softmaxAVX2() {
	function("softmaxAVX2", "func(s *float32, n int, scale float32, max float32) (newMax float32, sum float32)")
	Doc("softmaxAVX2 is Softmax; score j goes to lane j mod 8 of the sum.")
	s, n := param("s"), param("n")
	factor, top, least := YMM(), XMM(), YMM()
	VBROADCASTSS(NewParamAddr("scale", 16), factor)
	Load(Param("max"), top)

	highest := YMM()
	VMOVUPS(constant(minusInf), least)
	VMOVAPS(least, highest)
	eachVector(n, func(at reg.GPVirtual, mask reg.VecVirtual) {
		if mask == nil {
			VMAXPS(index(s, at), highest, highest)
			return
		}
		v := YMM()
		VMASKMOVPS(index(s, at), mask, v)
		VBLENDVPS(mask, v, least, v)
		VMAXPS(v, highest, highest)
	})
	half := XMM()
	VEXTRACTF128(U8(1), highest, half)
	VMAXPS(half, highest.AsX(), half)
	t := XMM()
	VPSHUFD(U8(0x4e), half, t)
	VMAXPS(t, half, half)
	VPSHUFD(U8(0xb1), half, t)
	VMAXPS(t, half, half)
	VMULSS(factor.AsX(), half, half)
	VMAXSS(top, half, top)
	Store(top, Return("newMax"))

	none := label("none")
	bits := GP32()
	VMOVD(top, bits)
	CMPL(bits, U32(minusInf))
	JEQ(LabelRef(none))
	shift, sum := YMM(), YMM()
	VBROADCASTSS(top, shift)
	VXORPS(sum, sum, sum)
	eachVector(n, func(at reg.GPVirtual, mask reg.VecVirtual) {
		v := YMM()
		load(index(s, at), mask, v)
		VMULPS(factor, v, v)
		VSUBPS(shift, v, v)
		expAVX2(v)
		store(v, mask, index(s, at))
		if mask != nil {
			VANDPS(mask, v, v)
		}
		VADDPS(v, sum, sum)
	})
	Store(sum1(sum), Return("sum"))
	finish()
	Label(none)
	zeros := YMM()
	VXORPS(zeros, zeros, zeros)
	eachVector(n, func(at reg.GPVirtual, mask reg.VecVirtual) {
		store(zeros, mask, index(s, at))
	})
	Store(zeros.AsX(), Return("sum"))
	finish()
}

const minusInf = 0xff800000

func swiGLUAVX2() {
	function("swiGLUAVX2", "func(gate *float32, up *float32, n int)")
	Doc("swiGLUAVX2 is SwiGLU.")
	gate, up, n := param("gate"), param("up"), param("n")
	one, sign := YMM(), YMM()
	VMOVUPS(float(1), one)
	VMOVUPS(constant(1<<31), sign)
	eachVector(n, func(at reg.GPVirtual, mask reg.VecVirtual) {
		g, e, u := YMM(), YMM(), YMM()
		load(index(gate, at), mask, g)
		VXORPS(sign, g, e)
		expAVX2(e)
		VADDPS(one, e, e)
		VDIVPS(e, g, g)
		load(index(up, at), mask, u)
		VMULPS(u, g, g)
		store(g, mask, index(gate, at))
	})
	finish()
}

func rmsNormAVX2() {
	function("rmsNormAVX2", "func(dst *float32, x *float32, w *float32, n int, eps float32)")
	Doc("rmsNormAVX2 is RMSNorm; the squares of 32 elements go to as many lanes, those", "of the last vectors to the first 8.")
	dst, x, w, n := param("dst"), param("x"), param("w"), param("n")
	sums := zero(4)
	from, steps := copyOf(x), copyOf(n)
	SHRQ(U8(5), steps)
	v := YMM()
	loop(steps, func() {
		for i, s := range sums {
			VMOVUPS(Mem{Base: from, Disp: 32 * i}, v)
			VFMADD231PS(v, v, s)
		}
		ADDQ(U32(128), from)
	})
	rest := copyOf(n)
	ANDQ(U32(31), rest)
	eachVector(rest, func(at reg.GPVirtual, mask reg.VecVirtual) {
		load(index(from, at), mask, v)
		VFMADD231PS(v, v, sums[0])
	})
	VADDPS(sums[1], sums[0], sums[0])
	VADDPS(sums[3], sums[2], sums[2])
	VADDPS(sums[2], sums[0], sums[0])
	r, count := sum1(sums[0]).AsX(), XMM()
	VXORPS(count, count, count)
	VCVTSI2SSQ(n, count, count)
	VDIVSS(count, r, r)
	eps := XMM()
	Load(Param("eps"), eps)
	VADDSS(eps, r, r)
	VSQRTSS(r, r, r)
	one := XMM()
	VMOVSS(float(1), one)
	VDIVSS(r, one, r)
	factor := YMM()
	VBROADCASTSS(r, factor)
	eachVector(n, func(at reg.GPVirtual, mask reg.VecVirtual) {
		load(index(x, at), mask, v)
		VMULPS(factor, v, v)
		weights := YMM()
		load(index(w, at), mask, weights)
		VMULPS(weights, v, v)
		store(v, mask, index(dst, at))
	})
	finish()
}

// The three below handle whole vectors only; the rest costs the same bits in Go.

func scaleAVX2() {
	function("scaleAVX2", "func(x *float32, a float32, vectors int)")
	Doc("scaleAVX2 is Scale for vectors of 8.")
	x, steps := param("x"), param("vectors")
	a, v := YMM(), YMM()
	VBROADCASTSS(NewParamAddr("a", 8), a)
	loop(steps, func() {
		VMULPS(Mem{Base: x}, a, v)
		VMOVUPS(v, Mem{Base: x})
		ADDQ(U32(32), x)
	})
	finish()
}

func addAVX2() {
	function("addAVX2", "func(x *float32, y *float32, vectors int)")
	Doc("addAVX2 is Add for vectors of 8.")
	x, y, steps := param("x"), param("y"), param("vectors")
	v := YMM()
	loop(steps, func() {
		VMOVUPS(Mem{Base: x}, v)
		VADDPS(Mem{Base: y}, v, v)
		VMOVUPS(v, Mem{Base: x})
		ADDQ(U32(32), x)
		ADDQ(U32(32), y)
	})
	finish()
}

func rotateAVX2() {
	function("rotateAVX2", "func(x *float32, cos *float32, sin *float32, vectors int)")
	Doc("rotateAVX2 is Rotate for vectors of 4 pairs.")
	x, cos, sin, steps := param("x"), param("cos"), param("sin"), param("vectors")
	v, c, s := YMM(), YMM(), YMM()
	loop(steps, func() {
		VPMOVZXDQ(Mem{Base: cos}, c)
		VMOVSLDUP(c, c)
		VPMOVZXDQ(Mem{Base: sin}, s)
		VMOVSLDUP(s, s)
		VMOVUPS(Mem{Base: x}, v)
		VMULPS(c, v, c)
		VPERMILPS(U8(0xb1), v, v)
		VMULPS(s, v, v)
		VADDSUBPS(v, c, v) // the even lanes subtract
		VMOVUPS(v, Mem{Base: x})
		ADDQ(U32(32), x)
		ADDQ(U32(16), cos)
		ADDQ(U32(16), sin)
	})
	finish()
}
