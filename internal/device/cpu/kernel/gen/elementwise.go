package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// These functions handle whole vectors only; the rest costs the same bits in Go.

func scaleAVX2() {
	function("scaleAVX2", "x *float32, a float32, vectors int)", "is Scale for vectors of 8.")
	x, steps := param("x"), param("vectors")
	a, v := YMM(), YMM()
	VBROADCASTSS(address(Param("a")), a)
	loop(steps, func() {
		VMULPS(Mem{Base: x}, a, v)
		VMOVUPS(v, Mem{Base: x})
		ADDQ(imm(32), x)
	})
	finish()
}

func addAVX2() {
	function("addAVX2", "x *float32, y *float32, vectors int)", "is Add for vectors of 8.")
	x, y, steps := param("x"), param("y"), param("vectors")
	v := YMM()
	loop(steps, func() {
		VMOVUPS(Mem{Base: x}, v)
		VADDPS(Mem{Base: y}, v, v)
		VMOVUPS(v, Mem{Base: x})
		ADDQ(imm(32), x)
		ADDQ(imm(32), y)
	})
	finish()
}

func rotateAVX2() {
	function("rotateAVX2", "x *float32, cos *float32, sin *float32, vectors int)", "is Rotate for vectors of 4 pairs.")
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
		ADDQ(imm(32), x)
		ADDQ(imm(16), cos)
		ADDQ(imm(16), sin)
	})
	finish()
}

func halvesAVX2() {
	function("toHalfAVX2", "dst *uint16, src *float32, vectors int)", "is ToHalf for vectors of 8.")
	dst, src, steps := param("dst"), param("src"), param("vectors")
	v, h := YMM(), XMM()
	loop(steps, func() {
		VMOVUPS(Mem{Base: src}, v)
		VCVTPS2PH(U8(0), v, h) // to nearest, ties to even
		VMOVDQU(h, Mem{Base: dst})
		ADDQ(imm(32), src)
		ADDQ(imm(16), dst)
	})
	finish()

	function("fromHalfAVX2", "dst *float32, src *uint16, vectors int)", "is FromHalf for vectors of 8.")
	dst, src, steps = param("dst"), param("src"), param("vectors")
	v = YMM()
	loop(steps, func() {
		VCVTPH2PS(Mem{Base: src}, v)
		VMOVUPS(v, Mem{Base: dst})
		ADDQ(imm(16), src)
		ADDQ(imm(32), dst)
	})
	finish()
}
