package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tallInt8AVX2 is how many rows the tallest tile has.
const tallInt8AVX2 = 4

func int8AVX2() {
	for _, c := range codings {
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
	vectors := func() []reg.VecVirtual { return avx2.vectors(width) }
	ones, mask := YMM(), YMM()
	constants := func() {
		VMOVDQU(constant(0x00010001), ones)
		if c.wide() {
			VMOVDQU(constant(0x80808080), mask)
		} else {
			VMOVDQU(constant(0x0f0f0f0f), mask)
		}
	}
	int8Product("AVX2", c, m, width == 1, vectors, constants, func(t *int8Tile) {
		dots := make([][]reg.VecVirtual, m)
		for r := range dots {
			dots[r] = vectors()
		}
		if c.wide() {
			t.dotWideAVX2(dots, ones, mask)
		} else {
			t.dotNibblesAVX2(dots, ones, mask)
		}
		for i := range width {
			t.addAVX2(dots, i)
		}
	})
}

// dotNibblesAVX2 sets dots to the products of integers. Of a block, pairs add up
// to 8·2·15·127 at most, less than 2^15.
func (t *int8Tile) dotNibblesAVX2(dots [][]reg.VecVirtual, ones, mask reg.VecVirtual) {
	width := len(dots[0])
	for at := 0; at < t.coding.codes; at += 64 {
		low, high := avx2.vectors(width), avx2.vectors(width)
		for i := range width {
			VMOVDQU(Mem{Base: t.codes, Disp: at + 32*i}, low[i])
			VPSRLW(U8(4), low[i], high[i])
			VPAND(mask, low[i], low[i])
			VPAND(mask, high[i], high[i])
		}
		for part, weights := range [][]reg.VecVirtual{low, high} {
			for r, dot := range dots {
				x := YMM()
				VPBROADCASTD(t.q.at(r, at/8+4*part), x)
				for i, w := range weights {
					if at+part == 0 {
						VPMADDUBSW(x, w, dot[i])
						continue
					}
					pairs := YMM()
					VPMADDUBSW(x, w, pairs)
					VPADDW(pairs, dot[i], dot[i])
				}
			}
		}
	}
	for _, dot := range dots {
		for _, d := range dot {
			VPMADDWD(ones, d, d)
		}
	}
}

// dotWideAVX2 multiplies the magnitudes of weights, 128 at most, by activations
// that got their signs: pairs add up to 2·128·127 at most.
func (t *int8Tile) dotWideAVX2(dots [][]reg.VecVirtual, ones, around reg.VecVirtual) {
	width := len(dots[0])
	for at := 0; at < t.coding.codes; at += 64 {
		weights, sizes := avx2.vectors(width), avx2.vectors(width)
		for i := range width {
			VPXOR(Mem{Base: t.codes, Disp: at + 32*i}, around, weights[i])
			VPABSB(weights[i], sizes[i])
		}
		for r, dot := range dots {
			x := YMM()
			VPBROADCASTD(t.q.at(r, at/16), x)
			for i := range width {
				pairs := YMM()
				VPSIGNB(weights[i], x, pairs)
				VPMADDUBSW(pairs, sizes[i], pairs)
				if at == 0 {
					VPMADDWD(ones, pairs, dot[i])
					continue
				}
				VPMADDWD(ones, pairs, pairs)
				VPADDD(pairs, dot[i], dot[i])
			}
		}
	}
}

// addAVX2 adds the products of a block to the i-th vectors of the sums.
func (t *int8Tile) addAVX2(dots [][]reg.VecVirtual, i int) {
	scale, offset := YMM(), YMM()
	VCVTPH2PS(t.scales.Offset(16*i), scale)
	if t.offsets {
		VCVTPH2PS(t.scales.Offset(32+16*i), offset)
	}
	for r := range dots {
		dot, sum, v := dots[r][i], t.sums[r][i], YMM()
		if !t.offsets && !t.wide() {
			VPBROADCASTD(t.blocks.at(r, blockSum), v)
			VPSLLD(U8(t.zero), v, v)
			VPSUBD(v, dot, dot)
		}
		VBROADCASTSS(t.blocks.at(r, blockScale), v)
		VMULPS(scale, v, v)
		VCVTDQ2PS(dot, dot)
		VMULPS(dot, v, v)
		VADDPS(v, sum, sum)
		if t.offsets {
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
		VPADDD(sizes[1], sizes[0], sizes[0])
		VPACKSSDW(v[1], v[0], v[0])
		VPACKSSDW(v[3], v[2], v[2])
		VPACKSSWB(v[2], v[0], v[0])
		VPERMD(v[0], order, v[0]) // packing went half by half
		VMOVDQU(v[0], Mem{Base: q})
		VMOVD(fold(sizes[0], func(a, b Op) { VPADDD(a, b, b) }), sum)
		VXORPS(total, total, total)
		VCVTSI2SSL(sum, total, total)
		VMULSS(scale, total, total)
		VMOVSS(scale, Mem{Base: blocks, Disp: blockScale})
		VMOVSS(total, Mem{Base: blocks, Disp: blockTotal})
		MOVL(sum, Mem{Base: blocks, Disp: blockSum})
		JMP(LabelRef(done))

		Label(unusual)
		zeros, value := YMM(), GP32()
		finite := label("finite")
		VPXOR(zeros, zeros, zeros)
		VMOVDQU(zeros, Mem{Base: q})
		XORL(value, value)
		MOVL(value, Mem{Base: blocks, Disp: blockSum})
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
