package main

import (
	"fmt"
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// format tells how a block of stored weights becomes vectors of f32. All of its
// products are exact in f32 (a half has 11 significant bits, scale and weight
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
	// constants are vectors that stay in registers: source.constants.
	constants func() []Mem
	// prepare does what comes before the parts of a block.
	prepare func(source)
	// expand hands the vectors of a part to sink, in order.
	expand func(part int, s source, sink func(v reg.VecVirtual))
}

// source is a block of one row: at gives the operand at a byte of it, scratch
// its place on the stack.
type source struct {
	at        func(disp int) Mem
	scratch   Mem
	constants []reg.VecVirtual
}

// expander returns a function that expands one block of each of n rows.
func (s *isa) expander(f format, n int, scratch Mem) func(at func(r, disp int) Mem, sink func(r, i int, v reg.VecVirtual)) {
	var constants []reg.VecVirtual
	if f.constants != nil {
		for _, m := range f.constants() {
			v := s.vec()
			VMOVUPS(m, v)
			constants = append(constants, v)
		}
	}
	return func(at func(r, disp int) Mem, sink func(r, i int, v reg.VecVirtual)) {
		sources := make([]source, n)
		next := make([]int, n)
		for r := range sources {
			sources[r] = source{func(disp int) Mem { return at(r, disp) }, scratch.Offset(r * f.scratch), constants}
			if f.prepare != nil {
				f.prepare(sources[r])
			}
		}
		for part := range f.parts {
			for r, src := range sources {
				f.expand(part, src, func(v reg.VecVirtual) {
					sink(r, next[r], v)
					next[r]++
				})
			}
		}
	}
}

func (s *isa) dequantize(f format) {
	function("dequantize"+f.name+s.name, "dst *float32, src *byte, blocks int)", fmt.Sprintf("expands blocks of %d weights.", f.weights))
	dst, src, blocks := param("dst"), param("src"), param("blocks")
	var scratch Mem
	if f.scratch > 0 {
		scratch = AllocLocal(f.scratch)
	}
	expand := s.expander(f, 1, scratch)
	loop(blocks, func() {
		expand(func(_, disp int) Mem { return Mem{Base: src, Disp: disp} }, func(_, i int, v reg.VecVirtual) {
			VMOVUPS(v, Mem{Base: dst, Disp: s.bytes() * i})
		})
		ADDQ(imm(f.bytes), src)
		ADDQ(imm(4*f.weights), dst)
	})
	finish()
}

// prefetch is how many bytes ahead of one row's products weights are fetched.
const prefetch = 2048

func (s *isa) matVec(f format) {
	function("matVec"+f.name+s.name, "out *float32, x *float32, w *byte, n int, k int)",
		fmt.Sprintf("is MatVec for rows of %s, with the sums of matMul1%s.", f.name, s.name))
	const tall = 4 // rows at a time: as many sums in flight
	out, x, n, k := param("out"), param("x"), param("n"), param("k")
	w := rows{base: param("w")}
	blocks := copyOf(k)
	SHRQ(U8(bits.TrailingZeros(uint(f.weights))), blocks)
	var scratch Mem
	if f.halves {
		w.stride = copyOf(k)
		SHLQ(U8(1), w.stride)
		scratch = AllocLocal(2 * s.lanes)
	} else {
		w.stride = GP64()
		IMUL3Q(imm(f.bytes), blocks, w.stride)
		if f.scratch > 0 {
			scratch = AllocLocal(tall * f.scratch)
		}
	}
	w.stride3 = threefold(w.stride)
	for _, height := range []int{tall, 1} {
		expand := s.expander(f, height, scratch)
		while(n, height, func() {
			acc := s.zero(height)
			xs, ws := copyOf(x), w.copy()
			ahead := copyOf(w.base)
			loop(copyOf(blocks), func() {
				// The processor sees no stream in four short rows at once. What is
				// prefetched behind the last row is never touched.
				for line := 0; line < height*f.bytes; line += 64 {
					PREFETCHT0(Mem{Base: ahead, Disp: line + prefetch})
				}
				ADDQ(imm(height*f.bytes), ahead)
				expand(ws.at, func(r, i int, v reg.VecVirtual) {
					VFMADD231PS(Mem{Base: xs, Disp: s.bytes() * i}, v, acc[r])
				})
				ws.right(f.bytes)
				ADDQ(imm(4*f.weights), xs)
			})
			if f.halves {
				s.tail(f, k, xs, ws, scratch, acc)
			}
			if height == 1 {
				VMOVSS(s.sum(acc[0]).AsX(), Mem{Base: out})
			} else {
				s.storeSums([][]reg.VecVirtual{acc}, func(int) Mem { return Mem{Base: out} })
			}
			w.down(height)
			ADDQ(imm(4*height), out)
		})
	}
	finish()
}

// tail adds the last k mod lanes weights of rows of halves, copied to the stack:
// nothing behind a row is read.
func (s *isa) tail(f format, k, xs reg.GPVirtual, ws rows, scratch Mem, acc []reg.VecVirtual) {
	done := label("done")
	TESTQ(imm(s.lanes-1), k)
	JZ(LabelRef(done))
	values, zeros := s.vec(), XMM()
	s.loadTail(k, Mem{Base: xs}, values)
	VPXOR(zeros, zeros, zeros)
	for at := 0; at < 2*s.lanes; at += 16 {
		VMOVDQU(zeros, scratch.Offset(at))
	}
	for r, sum := range acc {
		from, i, half := GP64(), copyOf(k), GP32()
		LEAQ(ws.at(r, 0), from)
		ANDQ(imm(s.lanes-1), i)
		loop(i, func() {
			MOVWLZX(Mem{Base: from, Index: i, Scale: 2, Disp: -2}, half)
			MOVW(half.As16(), scratch.Idx(i, 2).Offset(-2))
		})
		f.expand(0, source{at: scratch.Offset}, func(v reg.VecVirtual) {
			VFMADD231PS(values, v, sum)
		})
	}
	Label(done)
}
