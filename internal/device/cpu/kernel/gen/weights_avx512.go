package main

import (
	"slices"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// exp2HalfTerms is the polynomial of exp2Terms in t = r + 1/2.
var exp2HalfTerms = func() []float64 {
	terms := []float64{0}
	for _, term := range exp2Terms { // Horner's scheme: terms · (t - 1/2) + term
		next := append(slices.Clone(terms), 0)
		for i, v := range terms {
			next[i+1] -= v / 2
		}
		next[len(next)-1] += term
		terms = next
	}
	return terms[1:]
}()

// exp2HalfAVX512 replaces vectors x + 1/2 with powers of two of x by the instructions that
// AVX-512 has for it. What is -Inf becomes 0.
func exp2HalfAVX512(xs ...reg.VecVirtual) {
	t, c := avx512.vectors(len(xs)), ZMM()
	const down = 1
	for i, x := range xs {
		VREDUCEPS(U8(down), x, t[i])
	}
	y := avx512.vectors(len(xs))
	VMOVUPS(float(exp2HalfTerms[0]), c)
	for _, y := range y {
		VMOVAPS(c, y)
	}
	for _, term := range exp2HalfTerms[1:] {
		VMOVUPS(float(term), c)
		for i, y := range y {
			VFMADD213PS(c, t[i], y)
		}
	}
	for i, x := range xs {
		VSCALEFPS(x, y[i], x) // which rounds x down
	}
}

// quarterTops folds four vectors to one of four lanes, the greatest of each by its bits.
func quarterTops(v [4]reg.VecVirtual) reg.VecVirtual {
	t := avx512.vectors(4)
	VPUNPCKLDQ(v[1], v[0], t[0])
	VPUNPCKHDQ(v[1], v[0], t[1])
	VPUNPCKLDQ(v[3], v[2], t[2])
	VPUNPCKHDQ(v[3], v[2], t[3])
	VPMAXUD(t[1], t[0], t[0])
	VPMAXUD(t[3], t[2], t[2])
	VPUNPCKLQDQ(t[2], t[0], t[1])
	VPUNPCKHQDQ(t[2], t[0], t[3])
	VPMAXUD(t[3], t[1], t[1])
	high, half := YMM(), XMM()
	VEXTRACTI64X4(U8(1), t[1], high)
	VPMAXUD(high, t[1].AsY(), high)
	VEXTRACTI128(U8(1), high, half)
	VPMAXUD(half, high.AsX(), half)
	return half
}

// weightsInt16AVX512 takes eight vectors at a time, four blocks, as long as there are as
// many, and then two.
func weightsInt16AVX512() {
	function("weightsInt16AVX512", "p *int16, ldp int, scales *float32, ldScales int, s *float32, lds int, m int, blocks int, factor float32, by *float32, max *float32, sum *float32, acc *float32, dim int)",
		"is WeightsInt16; strides are in bytes.")
	p, scales, s, m := param("p"), param("scales"), param("s"), param("m")
	max, sum, acc := param("max"), param("sum"), param("acc")
	factor, order := ZMM(), ZMM()
	VBROADCASTSS(address(Param("factor")), factor)
	// Packing two vectors leaves their quarters in turns.
	VMOVDQU64(vector("evenThenOdd", func(i int) uint32 {
		at := i / 2
		return uint32((at%4*2 + at/4) * (1 - i%2))
	}), order)
	// The maxima of all rows come first: a row's weights wait long for its own.
	rowTop, rowSum := copyOf(max), copyOf(sum)
	row := copyOf(s)
	loop(copyOf(m), func() {
		from, top := copyOf(row), XMM()
		most := avx512.vectors(2)
		for _, v := range most {
			VMOVUPS(constant(minusInf), v)
		}
		loop(param("blocks"), func() {
			for i, v := range most {
				VMAXPS(Mem{Base: from, Disp: 64 * i}, v, v)
			}
			ADDQ(imm(4*blockKeys), from)
		})
		VMAXPS(most[1], most[0], most[0])
		high := YMM()
		VEXTRACTF64X4(U8(1), most[0], high)
		VMAXPS(high, most[0].AsY(), high)
		best := maxOfY(high)
		VMULSS(factor.AsX(), best, best)
		VMAXSS(Mem{Base: rowTop}, best, top)

		same, bits := label("same"), GP32()
		VMOVD(top, bits)
		CMPL(bits, Mem{Base: rowTop})
		JEQ(LabelRef(same))
		decay, v := ZMM(), ZMM()
		VMOVSS(Mem{Base: rowTop}, decay.AsX())
		VSUBSS(top, decay.AsX(), decay.AsX())
		VADDSS(float(0.5), decay.AsX(), decay.AsX())
		VBROADCASTSS(decay.AsX(), decay)
		exp2HalfAVX512(decay)
		VMOVSS(top, Mem{Base: rowTop})
		VMULSS(Mem{Base: rowSum}, decay.AsX(), v.AsX())
		VMOVSS(v.AsX(), Mem{Base: rowSum})
		avx512.eachVector(param("dim"), func(at reg.GPVirtual, k mask) {
			load(index(acc, at), k, v)
			VMULPS(decay, v, v)
			store(v, k, index(acc, at))
		})
		Label(same)
		ADDQ(imm(4), rowTop)
		ADDQ(imm(4), rowSum)
		ADDQ(address(Param("lds")), row)
		LEAQ(Mem{Base: acc, Index: param("dim"), Scale: 4}, acc)
	})
	loop(m, func() {
		top := XMM()
		VMOVSS(Mem{Base: max}, top)
		shift, totals := ZMM(), avx512.zero(2)
		VSUBSS(float(0.5), top, top)
		VBROADCASTSS(top, shift)
		next, to, by, scaleTo := copyOf(s), copyOf(p), param("by"), copyOf(scales)
		several := func(blocks int) {
			weights := avx512.vectors(2 * blocks)
			for i, w := range weights {
				VMOVUPS(Mem{Base: next, Disp: 64 * i}, w)
				VFMSUB213PS(shift, factor, w)
			}
			exp2HalfAVX512(weights...)
			var tops [4]reg.VecVirtual
			for i := range tops {
				tops[i] = tops[0]
				if i < blocks {
					tops[i] = ZMM()
				}
			}
			for i, w := range weights {
				VADDPS(w, totals[i%2], totals[i%2])
				VMULPS(Mem{Base: by, Disp: 64 * i}, w, w)
			}
			for b := range blocks {
				VPMAXUD(weights[2*b+1], weights[2*b], tops[b])
			}
			scale, least, inverse := quarterTops(tops), XMM(), XMM()
			VMULPS(float(1.0/mostWeight), scale, scale)
			// What is below the normal numbers becomes the least of them; no number stays one.
			VMOVUPS(constant(1<<23), least)
			VMAXPS(scale, least, scale)
			VMOVUPS(float(1), inverse)
			VDIVPS(scale, inverse, inverse)
			for b := range blocks {
				VEXTRACTPS(U8(uint8(b)), scale, Mem{Base: scaleTo})
				ADDQ(address(Param("ldScales")), scaleTo)
				each := ZMM()
				VPERMILPS(U8(uint8(b*0b01010101)), inverse, each.AsX())
				VBROADCASTSS(each.AsX(), each)
				for _, w := range weights[2*b:][:2] {
					VMULPS(each, w, w)
					VCVTPS2DQ(w, w)
				}
				low := weights[2*b]
				VPACKSSDW(weights[2*b+1], low, low)
				VPERMQ(low, order, low)
				VMOVDQU64(low, Mem{Base: to, Disp: 64 * b})
			}
			ADDQ(imm(4*blockKeys*blocks), next)
			ADDQ(imm(4*blockKeys*blocks), by)
			ADDQ(imm(2*blockKeys*blocks), to)
		}
		left := param("blocks")
		while(left, 4, func() { several(4) })
		loop(left, func() { several(1) })
		VADDPS(totals[1], totals[0], totals[0])
		added := avx512.sum(totals[0]).AsX()
		VADDSS(Mem{Base: sum}, added, added)
		VMOVSS(added, Mem{Base: sum})
		ADDQ(imm(4), scales)
		ADDQ(imm(4), max)
		ADDQ(imm(4), sum)
		ADDQ(address(Param("ldp")), p)
		ADDQ(address(Param("lds")), s)
	})
	finish()
}
