package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func formatsAVX2() []format {
	return []format{f16AVX2(), bf16AVX2(), q4_0AVX2(), q4_1AVX2(), q8_0AVX2(), q4_KAVX2(), q6_KAVX2()}
}

func f16AVX2() format {
	return format{name: "F16", weights: 8, bytes: 16, halves: true, parts: 1,
		expand: func(_ int, s source, sink func(reg.VecVirtual)) {
			v := YMM()
			VCVTPH2PS(s.at(0), v)
			sink(v)
		}}
}

func bf16AVX2() format {
	return format{name: "BF16", weights: 8, bytes: 16, halves: true, parts: 1,
		expand: func(_ int, s source, sink func(reg.VecVirtual)) {
			v := YMM()
			VPMOVZXWD(s.at(0), v)
			VPSLLD(U8(16), v, v)
			sink(v)
		}}
}

// nibbleConstants are the constants that nibbles needs first.
func nibbleConstants() []Mem { return []Mem{constant(0x0f0f0f0f), spread(0), spread(8)} }

// nibbles hands out the 32 weights of the 16 bytes at disp as integers: the low
// nibbles, then the high ones.
func (s source) nibbles(disp int, sink func(reg.VecVirtual)) {
	low, high := YMM(), YMM()
	VBROADCASTI128(s.at(disp), low)
	VPSRLW(U8(4), low, high)
	VPAND(s.constants[0], low, low)
	VPAND(s.constants[0], high, high)
	for _, q := range []reg.VecVirtual{low, high} {
		for _, bytes := range s.constants[1:3] {
			v := YMM()
			VPSHUFB(bytes, q, v)
			sink(v)
		}
	}
}

// spread is the shuffle that takes the 8 bytes from first on of a vector that
// holds 16 bytes twice to 8 integers.
func spread(first int) Mem {
	return vector(fmt.Sprintf("spread%d", first), func(i int) uint32 { return 0x80808000 | uint32(first+i%8) })
}

// halfScale returns the half at a memory operand in all lanes.
func halfScale(m Mem) reg.VecVirtual {
	h, d := XMM(), YMM()
	VPBROADCASTW(m, h)
	VCVTPH2PS(h, d)
	return d
}

// halfPair returns the two halves at a memory operand, each in all lanes.
func halfPair(m Mem) (first, second reg.VecVirtual) {
	h, both := XMM(), YMM()
	VPBROADCASTD(m, h)
	VCVTPH2PS(h, both)
	first, second = YMM(), YMM()
	VMOVSLDUP(both, first)
	VMOVSHDUP(both, second)
	return first, second
}

func q4_0AVX2() format {
	return format{name: "Q4_0", weights: 32, bytes: 18, parts: 1,
		constants: func() []Mem { return append(nibbleConstants(), constant(8)) },
		expand: func(_ int, s source, sink func(reg.VecVirtual)) {
			d := halfScale(s.at(0))
			s.nibbles(2, func(q reg.VecVirtual) {
				VPSUBD(s.constants[3], q, q)
				VCVTDQ2PS(q, q)
				VMULPS(d, q, q)
				sink(q)
			})
		}}
}

func q4_1AVX2() format {
	return format{name: "Q4_1", weights: 32, bytes: 20, parts: 1, constants: nibbleConstants,
		expand: func(_ int, s source, sink func(reg.VecVirtual)) {
			d, m := halfPair(s.at(0))
			s.nibbles(4, func(q reg.VecVirtual) {
				VCVTDQ2PS(q, q)
				VFMADD213PS(m, d, q)
				sink(q)
			})
		}}
}

func q8_0AVX2() format {
	return format{name: "Q8_0", weights: 32, bytes: 34, parts: 1,
		expand: func(_ int, s source, sink func(reg.VecVirtual)) {
			d := halfScale(s.at(0))
			for i := range 4 {
				q := YMM()
				VPMOVSXBD(s.at(2+8*i), q)
				VCVTDQ2PS(q, q)
				VMULPS(d, q, q)
				sink(q)
			}
		}}
}

// q4_KAVX2 keeps the 8 steps d·scale of a block and then the 8 minima dmin·min on
// the stack. A part is two runs of 32 weights, which share 32 bytes.
func q4_KAVX2() format {
	return format{name: "Q4_K", weights: 256, bytes: 144, parts: 4, scratch: 64,
		constants: func() []Mem { return []Mem{constant(15)} },
		prepare: func(s source) {
			d, dmin := halfPair(s.at(0))
			scales, mins := unpackQ4_K(s.at)
			for i, packed := range []reg.GPVirtual{scales, mins} {
				x, v := XMM(), YMM()
				VMOVQ(packed, x)
				VPMOVZXBD(x, v)
				VCVTDQ2PS(v, v)
				VMULPS([]reg.VecVirtual{d, dmin}[i], v, v)
				VMOVUPS(v, s.scratch.Offset(32*i))
			}
		},
		expand: func(part int, s source, sink func(reg.VecVirtual)) {
			for run := 2 * part; run < 2*part+2; run++ {
				step, low := YMM(), YMM()
				VBROADCASTSS(s.scratch.Offset(4*run), step)
				VBROADCASTSS(s.scratch.Offset(32+4*run), low)
				for i := range 4 {
					q := YMM()
					VPMOVZXBD(s.at(16+32*part+8*i), q)
					if run%2 == 0 {
						VPAND(s.constants[0], q, q)
					} else {
						VPSRLD(U8(4), q, q)
					}
					VCVTDQ2PS(q, q)
					VFMSUB213PS(low, step, q)
					sink(q)
				}
			}
		}}
}

// unpackQ4_K returns the 8 scales and the 8 minima of a block, a byte each: see
// scaleMinQ4_K. The first four of both stand in the low six bits of bytes 0–3
// and 4–7; bytes 8–11 hold the low nibbles of the last four.
func unpackQ4_K(at func(int) Mem) (scales, mins reg.GPVirtual) {
	const lowSix, lowFour, topTwo = 0x3f3f3f3f, 0x0f0f0f0f, 0x30303030
	last := GP32()
	MOVL(at(12), last)
	unpack := func(disp int, shift uint8) reg.GPVirtual {
		first, top, low := GP32(), GP32(), GP32()
		MOVL(at(disp), first)
		MOVL(first, top)
		SHRL(U8(2), top) // bits 6 and 7 to 4 and 5
		ANDL(U32(topTwo), top)
		MOVL(last, low)
		if shift > 0 {
			SHRL(U8(shift), low)
		}
		ANDL(U32(lowFour), low)
		ORL(low, top)
		ANDL(U32(lowSix), first)
		all := top.As64()
		SHLQ(U8(32), all)
		ORQ(first.As64(), all)
		r := GP64()
		MOVQ(all, r)
		return r
	}
	return unpack(4, 0), unpack(8, 4)
}

// q6_KScratch is where the weights of a run stand on the stack.
const q6_KScratch = 64

// q6_KAVX2 keeps the 16 steps d·scale of a block on the stack and behind them the
// 32 weights of the run at hand, a byte each. A part is one run.
func q6_KAVX2() format {
	return format{name: "Q6_K", weights: 256, bytes: 210, parts: 8, scratch: q6_KScratch + 32,
		constants: func() []Mem {
			return []Mem{constant(0x0f0f0f0f), constant(0x30303030), constant(0x20202020)}
		},
		prepare: func(s source) {
			d := halfScale(s.at(208))
			for i := range 2 {
				v := YMM()
				VPMOVSXBD(s.at(192+8*i), v)
				VCVTDQ2PS(v, v)
				VMULPS(d, v, v)
				VMOVUPS(v, s.scratch.Offset(32*i))
			}
		},
		expand: func(part int, s source, sink func(reg.VecVirtual)) {
			q6_KWeights(part, s)
			step := YMM()
			for i := range 4 {
				if i%2 == 0 {
					VBROADCASTSS(s.scratch.Offset(4*(2*part+i/2)), step)
				}
				q := YMM()
				VPMOVSXBD(s.scratch.Offset(q6_KScratch+8*i), q)
				VCVTDQ2PS(q, q)
				VMULPS(step, q, q)
				sink(q)
			}
		}}
}

// q6_KWeights puts the weights of a run of 32 on the stack.
func q6_KWeights(part int, s source) {
	half, run := part/4, part%4
	low, high := YMM(), YMM()
	VMOVDQU(s.at(64*half+32*(run%2)), low)
	if run >= 2 {
		VPSRLW(U8(4), low, low)
	}
	VPAND(s.constants[0].AsY(), low, low)
	VMOVDQU(s.at(128+32*half), high)
	if left := 4 - 2*run; left > 0 {
		VPSLLW(U8(uint8(left)), high, high)
	} else if left < 0 {
		VPSRLW(U8(uint8(-left)), high, high)
	}
	VPAND(s.constants[1].AsY(), high, high)
	VPOR(high, low, low)
	VPSUBB(s.constants[2].AsY(), low, low)
	VMOVDQU(low, s.scratch.Offset(q6_KScratch))
}
