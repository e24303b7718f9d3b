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
