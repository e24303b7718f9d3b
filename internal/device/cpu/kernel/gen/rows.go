package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The exponential is 2^n·e^r with n = round(x·log₂e) and a polynomial for e^r,
// |r| ≤ ln2/2 (coefficients of Cephes' expf; error about 1 ulp). Where n is below
// -125 the result is 0: no subnormal numbers, which are slow; above the range of
// f32 it is +Inf.
const (
	expLow  = -100 // well within what becomes 0
	expHigh = 89
	roundUp = 0x1.8p23 // adding it rounds to an integer, which stands in the low bits
	ln2High = 0.693359375
	ln2Low  = -2.12194440e-4
)

var expTerms = []float64{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1, 1}

// exp replaces some vectors with their exponentials, step by step for all of them:
// a step waits for the one before, and a processor looks only some dozens of
// instructions ahead.
func (s *isa) exp(xs ...reg.VecVirtual) {
	r, n, c := s.vectors(len(xs)), s.vectors(len(xs)), s.vec()
	constants := func(bits uint32) { VMOVUPS(constant(bits), c) }
	each := func(f float64, do func(x, r, n reg.VecVirtual)) {
		constants(math.Float32bits(float32(f)))
		for i, x := range xs {
			do(x, r[i], n[i])
		}
	}
	// Where x is not a number, the instructions return their second operand: x.
	each(expHigh, func(x, _, _ reg.VecVirtual) { VMINPS(x, c, x) })
	each(expLow, func(x, r, _ reg.VecVirtual) { VMAXPS(x, c, r) })
	each(roundUp, func(_, _, n reg.VecVirtual) { VMOVAPS(c, n) })
	each(math.Log2E, func(_, r, n reg.VecVirtual) { VFMADD231PS(c, r, n) })
	each(roundUp, func(x, _, n reg.VecVirtual) { VSUBPS(c, n, x) })
	each(ln2High, func(x, r, _ reg.VecVirtual) { VFNMADD231PS(c, x, r) })
	each(ln2Low, func(x, r, _ reg.VecVirtual) { VFNMADD231PS(c, x, r) })
	each(expTerms[0], func(x, _, _ reg.VecVirtual) { VMOVAPS(c, x) })
	for _, term := range expTerms[1:] {
		each(term, func(x, r, _ reg.VecVirtual) { VFMADD213PS(c, r, x) })
	}
	// 2^n may be out of range where the result is not: 2y · 2^(n-1).
	constants(126 - math.Float32bits(roundUp))
	for _, n := range n {
		VPADDD(c, n, n)
	}
	VPXOR(c.AsY(), c.AsY(), c.AsY())
	for i, x := range xs {
		VADDPS(x, x, x)
		VPMAXSD(c, n[i], n[i])
		VPSLLD(U8(23), n[i], n[i])
		VMULPS(n[i], x, x)
	}
}

// eachVector runs body for whole vectors of n elements and then for the lanes of
// a mask, if any are left. body gets the byte offset of its first element.
func (s *isa) eachVector(n reg.Register, body func(at reg.GPVirtual, k mask)) {
	s.eachVectors(1, n, func(at reg.GPVirtual, _ int, k mask) { body(at, k) })
}

// eachVectors is eachVector for several vectors at a time, as long as there are
// as many.
func (s *isa) eachVectors(most int, n reg.Register, body func(at reg.GPVirtual, vectors int, k mask)) {
	at, steps := GP64(), GP64()
	XORQ(at, at)
	MOVQ(n, steps)
	SHRQ(U8(s.shift()), steps)
	if most > 1 {
		while(steps, most, func() {
			body(at, most, nil)
			ADDQ(imm(most*s.bytes()), at)
		})
	}
	loop(steps, func() {
		body(at, 1, nil)
		ADDQ(imm(s.bytes()), at)
	})
	end := label("end")
	TESTQ(imm(s.lanes-1), n)
	JZ(LabelRef(end))
	body(at, 1, s.mask(n))
	Label(end)
}

const (
	minusInf = 0xff800000
	lowest   = 0xff7fffff // of the finite numbers
)

// highest raises top to the greatest of n scores times the factor.
func (s *isa) highest(scores, n reg.GPVirtual, factor, top reg.VecVirtual) {
	least, most := s.vec(), s.vec()
	VMOVUPS(constant(minusInf), least)
	VMOVAPS(least, most)
	s.eachVector(n, func(at reg.GPVirtual, k mask) {
		v := s.vec()
		load(index(scores, at), k, v)
		if k != nil {
			k.(avx2Mask).fill(v, least)
		}
		VMAXPS(v, most, most)
	})
	best := maxOfY(most)
	VMULSS(factor.AsX(), best, best)
	VMAXSS(top.AsX(), best, top.AsX())
}

// ifNothing jumps where top is -Inf. It returns the bits of top.
func ifNothing(top reg.VecVirtual, to string) reg.GPVirtual {
	bits := GP32()
	VMOVD(top.AsX(), bits)
	CMPL(bits, U32(minusInf))
	JEQ(LabelRef(to))
	return bits
}

// weights replaces n scores by exp(factor · score - top) and returns their sum.
func (s *isa) weights(scores, n reg.GPVirtual, factor, top reg.VecVirtual) reg.VecVirtual {
	shift, sum := s.vec(), s.zero(1)[0]
	VBROADCASTSS(top.AsX(), shift)
	s.eachVectors(4, n, func(at reg.GPVirtual, vectors int, k mask) {
		vs := s.vectors(vectors)
		where := func(i int) Mem { return index(scores, at).Offset(i * s.bytes()) }
		for i, v := range vs {
			load(where(i), k, v)
			VMULPS(factor, v, v)
			VSUBPS(shift, v, v)
		}
		s.exp(vs...)
		for i, v := range vs {
			store(v, k, where(i))
			if k != nil {
				k.(avx2Mask).keep(v)
			}
			VADDPS(v, sum, sum)
		}
	})
	return s.sum(sum)
}

// clear zeros n scores.
func (s *isa) clear(scores, n reg.GPVirtual) {
	zeros := s.zero(1)[0]
	s.eachVector(n, func(at reg.GPVirtual, k mask) {
		store(zeros, k, index(scores, at))
	})
}

func (s *isa) softmax() {
	function("softmax"+s.name, "s *float32, n int, scale float32, max float32) (newMax float32, sum float32)", "is Softmax.")
	scores, n := param("s"), param("n")
	factor, top := s.vec(), XMM()
	VBROADCASTSS(address(Param("scale")), factor)
	VMOVSS(address(Param("max")), top)
	s.highest(scores, n, factor, top)
	VMOVSS(top, address(Return("newMax")))
	none := label("none")
	ifNothing(top, none)
	sum := s.weights(scores, n, factor, top)
	VMOVSS(sum.AsX(), address(Return("sum")))
	finish()

	Label(none)
	s.clear(scores, n)
	VXORPS(top, top, top)
	VMOVSS(top, address(Return("sum")))
	finish()
}

func (s *isa) softmaxRows() {
	function("softmaxRows"+s.name, "s *float32, lds int, m int, n int, scale float32, max *float32, sum *float32, acc *float32, dim int)", "is SoftmaxRows.")
	scores, lds, m, n := param("s"), bytes(param("lds")), param("m"), param("n")
	max, sum, acc, dim := param("max"), param("sum"), param("acc"), param("dim")
	factor, top := s.vec(), XMM()
	VBROADCASTSS(address(Param("scale")), factor)
	loop(m, func() {
		none, next := label("none"), label("next")
		VMOVSS(Mem{Base: max}, top)
		s.highest(scores, n, factor, top)
		bits := ifNothing(top, none)
		added := s.weights(scores, n, factor, top).AsX()
		same := label("same")
		CMPL(bits, Mem{Base: max})
		JEQ(LabelRef(same))
		decay, v := s.vec(), s.vec()
		VBROADCASTSS(Mem{Base: max}, decay)
		VMOVD(bits, v.AsX())
		VSUBSS(v.AsX(), decay.AsX(), decay.AsX())
		VBROADCASTSS(decay.AsX(), decay)
		s.exp(decay)
		MOVL(bits, Mem{Base: max})
		VMOVSS(Mem{Base: sum}, v.AsX())
		VMULSS(decay.AsX(), v.AsX(), v.AsX())
		VMOVSS(v.AsX(), Mem{Base: sum})
		s.eachVector(dim, func(at reg.GPVirtual, k mask) {
			load(index(acc, at), k, v)
			VMULPS(decay, v, v)
			store(v, k, index(acc, at))
		})
		Label(same)
		VADDSS(Mem{Base: sum}, added, added)
		VMOVSS(added, Mem{Base: sum})
		JMP(LabelRef(next))
		Label(none)
		s.clear(scores, n)
		Label(next)
		ADDQ(lds, scores)
		ADDQ(imm(4), max)
		ADDQ(imm(4), sum)
		LEAQ(Mem{Base: acc, Index: dim, Scale: 4}, acc)
	})
	finish()
}

// merge computes the weights of a vector of rows at a time, and then their accumulators.
func (s *isa) merge() {
	function("merge"+s.name, "max *float32, sum *float32, acc *float32, max2 *float32, sum2 *float32, acc2 *float32, m int, dim int, unit float32, weights *float32)",
		"is Merge; weights [2, m] is memory that it uses.")
	max, sum, max2, sum2 := param("max"), param("sum"), param("max2"), param("sum2")
	m, weights := param("m"), param("weights")
	others := GP64()
	LEAQ(Mem{Base: weights, Index: m, Scale: 4}, others)
	s.eachVector(m, func(at reg.GPVirtual, k mask) {
		a, b, top, v := s.vec(), s.vec(), s.vec(), s.vec()
		load(index(max, at), k, a)
		load(index(max2, at), k, b)
		VMAXPS(b, a, top)
		store(top, k, index(max, at))
		// Where nothing has been seen, both weigh exp(-Inf).
		VMAXPS(constant(lowest), top, top)
		VBROADCASTSS(address(Param("unit")), v)
		for _, w := range []reg.VecVirtual{a, b} {
			VSUBPS(top, w, w)
			VMULPS(v, w, w)
		}
		s.exp(a, b)
		store(a, k, index(weights, at))
		store(b, k, index(others, at))
		load(index(sum, at), k, top)
		load(index(sum2, at), k, v)
		VMULPS(a, top, top)
		VMULPS(b, v, v)
		VADDPS(v, top, top)
		store(top, k, index(sum, at))
	})
	acc, acc2, dim := param("acc"), param("acc2"), param("dim")
	loop(m, func() {
		a, b, v := s.vec(), s.vec(), s.vec()
		VBROADCASTSS(Mem{Base: weights}, a)
		VBROADCASTSS(Mem{Base: others}, b)
		s.eachVector(dim, func(at reg.GPVirtual, k mask) {
			w := s.vec()
			load(index(acc, at), k, v)
			load(index(acc2, at), k, w)
			VMULPS(a, v, v)
			VFMADD231PS(w, b, v)
			store(v, k, index(acc, at))
		})
		ADDQ(imm(4), weights)
		ADDQ(imm(4), others)
		LEAQ(Mem{Base: acc, Index: dim, Scale: 4}, acc)
		LEAQ(Mem{Base: acc2, Index: dim, Scale: 4}, acc2)
	})
	finish()
}

func (s *isa) swiGLU() {
	function("swiGLU"+s.name, "gate *float32, up *float32, n int)", "is SwiGLU.")
	gate, up, n := param("gate"), param("up"), param("n")
	one, sign := s.vec(), s.vec()
	VMOVUPS(float(1), one)
	VMOVUPS(constant(1<<31), sign)
	s.eachVectors(4, n, func(at reg.GPVirtual, vectors int, k mask) {
		e, g, u := s.vectors(vectors), s.vec(), s.vec()
		where := func(base reg.GPVirtual, i int) Mem { return index(base, at).Offset(i * s.bytes()) }
		for i, e := range e {
			load(where(gate, i), k, e)
			VXORPS(sign, e, e)
		}
		s.exp(e...)
		for i, e := range e {
			VADDPS(one, e, e)
			load(where(gate, i), k, g)
			VDIVPS(e, g, g)
			load(where(up, i), k, u)
			VMULPS(u, g, g)
			store(g, k, where(gate, i))
		}
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
