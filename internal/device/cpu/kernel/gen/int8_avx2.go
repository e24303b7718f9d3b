package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/flashback-lm/flashback/internal/device/cpu/kernel/gen/panels"
)

// tallInt8AVX2 is how many rows the tallest tile has.
const tallInt8AVX2 = 4

func int8AVX2() {
	for _, of := range panels.Codings {
		c := coding{of}
		for m := 1; m <= tallInt8AVX2; m++ {
			matMulInt8AVX2(c, m)
		}
	}
	quantizeAVX2()
}

// matMulInt8AVX2 takes a whole group at once for one row; for more the registers
// suffice for half of it, eight columns in a vector.
func matMulInt8AVX2(c coding, m int) {
	width := 1
	if m == 1 {
		width = 2
	}
	mask := YMM()
	constants := func() {
		switch c.Bits {
		case 4:
			VMOVDQU(constant(nibbleMask), mask)
		case 8:
			VMOVDQU(constant(0x80808080), mask)
		}
	}
	int8Product("AVX2", avx2, c, m, width, constants, func(t *int8Tile) {
		for part := range c.Parts() {
			for i := range width {
				dots := avx2.vectors(m)
				switch c.Bits {
				case 4:
					t.dotNibblesAVX2(dots, i, mask)
				case 8:
					t.dotWideAVX2(dots, i, mask)
				default:
					t.dotMoreAVX2(dots, i, part)
				}
				t.addAVX2(dots, i, part)
			}
		}
	})
}

// onesAVX2 makes VPMADDWD add pairs.
func onesAVX2() Mem { return constant(0x00010001) }

// dotNibblesAVX2 sets dots to the products of integers with the i-th vectors of columns. Of a
// block, pairs add up to 8·2·15·127 at most, less than 2^15.
func (t *int8Tile) dotNibblesAVX2(dots []reg.VecVirtual, i int, mask reg.VecVirtual) {
	for columns := 0; columns < blockColumns/4; columns += 2 {
		low, high := YMM(), YMM()
		VMOVDQU(Mem{Base: t.base, Disp: 32*columns + 32*i}, low)
		VPSRLW(U8(4), low, high)
		VPAND(mask, low, low)
		VPAND(mask, high, high)
		for part, weights := range []reg.VecVirtual{low, high} {
			for r, dot := range dots {
				x := YMM()
				VPBROADCASTD(t.q.at(r, 4*(columns+part)), x)
				if columns+part == 0 {
					VPMADDUBSW(x, weights, dot)
					continue
				}
				VPMADDUBSW(x, weights, x)
				VPADDW(x, dot, dot)
			}
		}
	}
	for _, dot := range dots {
		VPMADDWD(onesAVX2(), dot, dot)
	}
}

// dotMoreAVX2 is dotNibblesAVX2 for codes of five or six bits and a part of a block. Two pairs
// add up to 2·2·63·127 at most, less than 2^15.
func (t *int8Tile) dotMoreAVX2(dots []reg.VecVirtual, i, part int) {
	perPart := blockColumns / 4 / t.Parts()
	first := part * perPart
	var tops reg.VecVirtual
	loaded := -1
	for columns := first; columns < first+perPart; columns += 2 {
		weights := avx2.vectors(2)
		VMOVDQU(Mem{Base: t.base, Disp: 32*columns + 32*i}, weights[0])
		VPSRLW(U8(4), weights[0], weights[1])
		for j, w := range weights {
			vector, left := t.tops(columns + j)
			if vector != loaded {
				tops, loaded = YMM(), vector
				VMOVDQU(Mem{Base: t.base, Disp: nibbleCodes + 64*vector + 32*i}, tops)
			}
			moved := YMM()
			switch {
			case left > 0:
				VPSLLW(U8(left), tops, moved)
				VPAND(constant(t.topMask()), moved, moved)
			case left < 0:
				VPSRLW(U8(-left), tops, moved)
				VPAND(constant(t.topMask()), moved, moved)
			default:
				VPAND(constant(t.topMask()), tops, moved)
			}
			VPAND(constant(nibbleMask), w, w)
			VPOR(moved, w, w)
		}
		for r, dot := range dots {
			pairs := avx2.vectors(2)
			for j, w := range weights {
				VPBROADCASTD(t.q.at(r, 4*(columns+j)), pairs[j])
				VPMADDUBSW(pairs[j], w, pairs[j])
			}
			VPADDW(pairs[1], pairs[0], pairs[0])
			if columns == first {
				VPMADDWD(onesAVX2(), pairs[0], dot)
				continue
			}
			VPMADDWD(onesAVX2(), pairs[0], pairs[0])
			VPADDD(pairs[0], dot, dot)
		}
	}
}

// dotWideAVX2 multiplies the magnitudes of weights, 128 at most, by activations
// that got their signs: pairs add up to 2·128·127 at most.
func (t *int8Tile) dotWideAVX2(dots []reg.VecVirtual, i int, around reg.VecVirtual) {
	for columns := range blockColumns / 4 {
		weights, sizes := YMM(), YMM()
		VPXOR(Mem{Base: t.base, Disp: 64*columns + 32*i}, around, weights)
		VPABSB(weights, sizes)
		for r, dot := range dots {
			pairs := YMM()
			VPBROADCASTD(t.q.at(r, 4*columns), pairs)
			VPSIGNB(weights, pairs, pairs)
			VPMADDUBSW(pairs, sizes, pairs)
			if columns == 0 {
				VPMADDWD(onesAVX2(), pairs, dot)
				continue
			}
			VPMADDWD(onesAVX2(), pairs, pairs)
			VPADDD(pairs, dot, dot)
		}
	}
}

// addAVX2 adds the products of a part of a block to the i-th vectors of the sums.
func (t *int8Tile) addAVX2(dots []reg.VecVirtual, i, part int) {
	scale, offset := t.factors(i, part)
	for r, dot := range dots {
		sum, v := t.sums[r][i], YMM()
		if !t.Offsets && !t.Wide() {
			VPBROADCASTD(t.blocks.at(r, blockSums), v)
			VPMADDWD(t.zeros(part), v, v)
			VPADDD(v, dot, dot)
		}
		VBROADCASTSS(t.blocks.at(r, blockScale), v)
		VMULPS(scale, v, v)
		VCVTDQ2PS(dot, dot)
		VMULPS(dot, v, v)
		VADDPS(v, sum, sum)
		if t.Offsets {
			VBROADCASTSS(t.blocks.at(r, blockTotal), v)
			VMULPS(offset, v, v)
			VADDPS(v, sum, sum)
		}
	}
}

func quantizeAVX2() {
	function("quantizeAVX2", "q *int8, blocks *byte, x *float32, n int)", "is Quantize for n blocks.")
	q, blocks, x, n := param("q"), param("blocks"), param("x"), param("n")
	magnitude, order, divisor, one := YMM(), YMM(), XMM(), XMM()
	VMOVDQU(constant(0x7fffffff), magnitude)
	VMOVDQU(vector("order", func(i int) uint32 { return uint32(i%2*4 + i/2) }), order)
	VMOVSS(float(127), divisor)
	VMOVSS(float(1), one)
	loop(n, func() {
		v := avx2.vectors(4)
		sizes := avx2.vectors(4)
		for i := range v {
			VMOVUPS(Mem{Base: x, Disp: 32 * i}, v[i])
			VPAND(magnitude, v[i], sizes[i]) // magnitudes compare like their bits
		}
		for _, pair := range [][2]int{{0, 1}, {2, 3}, {0, 2}} {
			VPMAXSD(sizes[pair[1]], sizes[pair[0]], sizes[pair[0]])
		}
		most := fold(sizes[0], func(a, b Op) { VPMAXSD(a, b, b) })
		mostBits, scaleBits, sum := GP32(), GP32(), GP32()
		scale, inverse, total := XMM(), XMM(), XMM()
		VMOVD(most, mostBits)
		VDIVSS(divisor, most, scale)
		VMOVD(scale, scaleBits)
		unusual, done := label("unusual"), label("done")
		CMPL(mostBits, U32(0x7f800000))
		JAE(LabelRef(unusual))
		CMPL(scaleBits, U32(0x00800000)) // 2^-126
		JB(LabelRef(unusual))
		VDIVSS(scale, one, inverse)
		by := YMM()
		VBROADCASTSS(inverse, by)
		for i := range v {
			VMULPS(by, v[i], v[i])
			VCVTPS2DQ(v[i], v[i])
		}
		VPADDD(v[1], v[0], sizes[0])
		VPADDD(v[3], v[2], sizes[1])
		VPHADDD(sizes[1], sizes[0], sizes[0]) // in each half two of the first 16 and two of the last
		VPACKSSDW(v[1], v[0], v[0])
		VPACKSSDW(v[3], v[2], v[2])
		VPACKSSWB(v[2], v[0], v[0])
		VPERMD(v[0], order, v[0]) // packing went half by half
		VMOVDQU(v[0], Mem{Base: q})
		sums := XMM()
		VEXTRACTI128(U8(1), sizes[0], sums)
		VPADDD(sizes[0].AsX(), sums, sums)
		VPHADDD(sums, sums, sums)
		VPHADDD(sums, sums, total)
		VCVTDQ2PS(total, total)
		VPACKSSDW(sums, sums, sums)
		VMOVD(sums, sum)
		VMULSS(scale, total, total)
		VMOVSS(scale, Mem{Base: blocks, Disp: blockScale})
		VMOVSS(total, Mem{Base: blocks, Disp: blockTotal})
		MOVL(sum, Mem{Base: blocks, Disp: blockSums})
		JMP(LabelRef(done))

		Label(unusual)
		zeros, value := YMM(), GP32()
		finite := label("finite")
		VPXOR(zeros, zeros, zeros)
		VMOVDQU(zeros, Mem{Base: q})
		XORL(value, value)
		MOVL(value, Mem{Base: blocks, Disp: blockSums})
		CMPL(mostBits, U32(0x7f800000))
		JB(LabelRef(finite))
		MOVL(U32(0x7fc00000), value) // not a number
		Label(finite)
		MOVL(value, Mem{Base: blocks, Disp: blockScale})
		MOVL(value, Mem{Base: blocks, Disp: blockTotal})
		Label(done)
		ADDQ(imm(32), q)
		ADDQ(imm(blockSize), blocks)
		ADDQ(imm(4*blockColumns), x)
	})
	finish()
}

// fold combines the 8 lanes of v into the first of the result.
func fold(v reg.VecVirtual, combine func(a, b Op)) reg.VecVirtual {
	r, t := XMM(), XMM()
	VEXTRACTI128(U8(1), v, r)
	combine(v.AsX(), r)
	for _, swap := range []uint8{0x4e, 0xb1} { // halves, then neighbours
		VPSHUFD(U8(swap), r, t)
		combine(t, r)
	}
	return r
}
