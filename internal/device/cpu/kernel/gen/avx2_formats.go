package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// format tells how a block of stored weights becomes vectors of f32. All of its
// products are exact in f32 (a half has 11 significant bits, scales and weights
// 13 together at most), so that a fused multiply-add gives the bits of a
// multiplication and an addition.
type format struct {
	name    string
	weights int  // weights in a block
	bytes   int  // bytes of a block
	halves  bool // the weights stand alone: a row may end anywhere

	// parts is how many parts a block is expanded in. Rows take turns part by
	// part, so that their sums are in flight together.
	parts int
	// scratch is how many bytes of the stack each row needs for a block.
	scratch int
	// prepare does what comes before the parts of a block, for one row.
	prepare func(r int, s source)
	// expand hands the vectors of a part of row r to sink, in order.
	expand func(part int, s source, sink func(v reg.VecVirtual))
}

// source is a block of one row: at gives the operand at a byte of it, scratch
// its place on the stack.
type source struct {
	at      func(disp int) Mem
	scratch Mem
}

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

// nibbles hands out the 32 weights of 16 bytes as integers.
func nibbles(at func(int) Mem, sink func(reg.VecVirtual)) {
	for i := range 2 {
		v := YMM()
		VPMOVZXBD(at(8*i), v)
		VPAND(constant(15), v, v)
		sink(v)
	}
	for i := range 2 {
		v := YMM()
		VPMOVZXBD(at(8*i), v)
		VPSRLD(U8(4), v, v)
		sink(v)
	}
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
		expand: func(_ int, s source, sink func(reg.VecVirtual)) {
			d := halfScale(s.at(0))
			nibbles(func(i int) Mem { return s.at(2 + i) }, func(q reg.VecVirtual) {
				VPSUBD(constant(8), q, q)
				VCVTDQ2PS(q, q)
				VMULPS(d, q, q)
				sink(q)
			})
		}}
}

func q4_1AVX2() format {
	return format{name: "Q4_1", weights: 32, bytes: 20, parts: 1,
		expand: func(_ int, s source, sink func(reg.VecVirtual)) {
			d, m := halfPair(s.at(0))
			nibbles(func(i int) Mem { return s.at(4 + i) }, func(q reg.VecVirtual) {
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
		prepare: func(_ int, s source) {
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
						VPAND(constant(15), q, q)
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
	unpack := func(disp, shift int) reg.GPVirtual {
		first, top, low := GP32(), GP32(), GP32()
		MOVL(at(disp), first)
		MOVL(first, top)
		SHRL(U8(2), top) // bits 6 and 7 to 4 and 5
		ANDL(U32(topTwo), top)
		MOVL(last, low)
		if shift > 0 {
			SHRL(U8(uint8(shift)), low)
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

// q6_KAVX2 keeps the 16 steps d·scale of a block on the stack and behind them the
// 32 weights of the run at hand, a byte each. A part is one run.
func q6_KAVX2() format {
	const weights = 64
	return format{name: "Q6_K", weights: 256, bytes: 210, parts: 8, scratch: 96,
		prepare: func(_ int, s source) {
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
			half, run := part/4, part%4
			low, high := YMM(), YMM()
			VMOVDQU(s.at(64*half+32*(run%2)), low)
			if run >= 2 {
				VPSRLW(U8(4), low, low)
			}
			VPAND(constant(0x0f0f0f0f), low, low)
			VMOVDQU(s.at(128+32*half), high)
			if left := 4 - 2*run; left > 0 {
				VPSLLW(U8(uint8(left)), high, high)
			} else if left < 0 {
				VPSRLW(U8(uint8(-left)), high, high)
			}
			VPAND(constant(0x30303030), high, high)
			VPOR(high, low, low)
			VPSUBB(constant(0x20202020), low, low)
			VMOVDQU(low, s.scratch.Offset(weights))
			for i := range 4 {
				if i%2 == 0 {
					high = YMM()
					VBROADCASTSS(s.scratch.Offset(4*(2*part+i/2)), high)
				}
				q := YMM()
				VPMOVSXBD(s.scratch.Offset(weights+8*i), q)
				VCVTDQ2PS(q, q)
				VMULPS(high, q, q)
				sink(q)
			}
		}}
}

// block expands one block of each row.
func (f format) block(n int, at func(r, disp int) Mem, scratch Mem, sink func(r, i int, v reg.VecVirtual)) {
	sources := make([]source, n)
	next := make([]int, n)
	for r := range sources {
		sources[r] = source{func(disp int) Mem { return at(r, disp) }, scratch.Offset(r * f.scratch)}
		if f.prepare != nil {
			f.prepare(r, sources[r])
		}
	}
	for part := range f.parts {
		for r, s := range sources {
			f.expand(part, s, func(v reg.VecVirtual) {
				sink(r, next[r], v)
				next[r]++
			})
		}
	}
}

func dequantizeAVX2(f format) {
	function(fmt.Sprintf("dequantize%sAVX2", f.name), "func(dst *float32, src *byte, blocks int)")
	Doc(fmt.Sprintf("dequantize%sAVX2 expands blocks of %d weights.", f.name, f.weights))
	dst, src, blocks := param("dst"), param("src"), param("blocks")
	var scratch Mem
	if f.scratch > 0 {
		scratch = AllocLocal(f.scratch)
	}
	loop(blocks, func() {
		f.block(1, func(_, disp int) Mem { return Mem{Base: src, Disp: disp} }, scratch, func(_, i int, v reg.VecVirtual) {
			VMOVUPS(v, Mem{Base: dst, Disp: 32 * i})
		})
		ADDQ(U32(uint32(f.bytes)), src)
		ADDQ(U32(uint32(4*f.weights)), dst)
	})
	finish()
}

func matVecAVX2(f format) {
	function(fmt.Sprintf("matVec%sAVX2", f.name), "func(out *float32, x *float32, w *byte, n int, k int)")
	Doc(fmt.Sprintf("matVec%sAVX2 is MatVec for rows of %s, with the sums of matMul1AVX2.", f.name, f.name))
	const tall = 4 // rows at a time: as many sums in flight
	out, x, n, k := param("out"), param("x"), param("n"), param("k")
	w := rows{base: param("w"), stride: GP64(), stride3: GP64()}
	blocks := copyOf(k)
	if f.halves {
		MOVQ(k, w.stride)
		SHLQ(U8(1), w.stride)
		SHRQ(U8(3), blocks)
	} else {
		SHRQ(U8(map[int]uint8{32: 5, 256: 8}[f.weights]), blocks)
		IMUL3Q(U32(uint32(f.bytes)), blocks, w.stride)
	}
	LEAQ(Mem{Base: w.stride, Index: w.stride, Scale: 2}, w.stride3)
	var scratch Mem
	switch {
	case f.halves:
		scratch = AllocLocal(16)
	case f.scratch > 0:
		scratch = AllocLocal(tall * f.scratch)
	}
	for _, height := range []int{tall, 1} {
		top, end := label("rows"), label("end")
		Label(top)
		CMPQ(n, U32(height))
		JL(LabelRef(end))
		acc := zero(height)
		xs, ws := copyOf(x), w
		ws.base = copyOf(w.base)
		loop(copyOf(blocks), func() {
			f.block(height, ws.at, scratch, func(r, i int, v reg.VecVirtual) {
				VFMADD231PS(Mem{Base: xs, Disp: 32 * i}, v, acc[r])
			})
			ws.advance(f.bytes)
			ADDQ(U32(uint32(4*f.weights)), xs)
		})
		if f.halves {
			tailAVX2(f, height, k, xs, ws, scratch, acc)
		}
		if height == 1 {
			VMOVSS(sum1(acc[0]).AsX(), Mem{Base: out})
			ADDQ(w.stride, w.base)
		} else {
			VMOVUPS(sum4(acc).AsX(), Mem{Base: out})
			LEAQ(Mem{Base: w.base, Index: w.stride, Scale: 4}, w.base)
		}
		ADDQ(U32(4*height), out)
		SUBQ(U32(height), n)
		JMP(LabelRef(top))
		Label(end)
	}
	finish()
}

// tailAVX2 adds the last k mod 8 weights of rows of halves, copied to the stack:
// nothing behind a row is read.
func tailAVX2(f format, height int, k reg.GPVirtual, xs reg.GPVirtual, ws rows, scratch Mem, acc []reg.VecVirtual) {
	done := label("done")
	TESTQ(U32(7), k)
	JZ(LabelRef(done))
	mask, values := YMM(), YMM()
	maskOf(k, mask)
	VMASKMOVPS(Mem{Base: xs}, mask, values)
	zeros := XMM()
	VPXOR(zeros, zeros, zeros)
	VMOVDQU(zeros, scratch)
	for r := range height {
		from, i, half := GP64(), copyOf(k), GP32()
		LEAQ(ws.at(r, 0), from)
		ANDQ(U32(7), i)
		loop(i, func() {
			MOVWLZX(Mem{Base: from, Index: i, Scale: 2, Disp: -2}, half)
			MOVW(half.As16(), scratch.Idx(i, 2).Offset(-2))
		})
		f.expand(0, source{at: scratch.Offset}, func(v reg.VecVirtual) {
			VFMADD231PS(values, v, acc[r])
		})
	}
	Label(done)
}
