package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tallInt8VNNI is how many rows the tallest tile has.
const tallInt8VNNI = 8

func int8VNNI() {
	for _, c := range codings {
		for m := 1; m <= tallInt8VNNI; m++ {
			matMulInt8VNNI(c, m)
		}
	}
}

// vpdpbusd adds to each lane of sum the product of the four unsigned bytes of
// weights in that lane with the four signed ones at x.
func vpdpbusd(x Mem, weights, sum reg.VecVirtual) {
	instructionVNNI("VPDPBUSD", []string{"BCST"}, x, weights, sum)
}

// vpdpwssd adds to each lane of sum the products of the two 16-bit integers of a and
// b in that lane.
func vpdpwssd(a, b, sum reg.VecVirtual) { instructionVNNI("VPDPWSSD", nil, a, b, sum) }

// instructionVNNI adds an instruction that avo does not know; it adds to sum.
func instructionVNNI(opcode string, suffixes []string, a Op, b, sum reg.VecVirtual) {
	Instruction(&ir.Instruction{
		Opcode:   opcode,
		Suffixes: suffixes,
		Operands: []Op{a, b, sum},
		Inputs:   []Op{a, b, sum},
		Outputs:  []Op{sum},
		ISA:      []string{"AVX512_VNNI"},
	})
}

func matMulInt8VNNI(c coding, m int) {
	vectors := func() []reg.VecVirtual { return avx512.vectors(1) }
	mask := ZMM()
	constants := func() {
		if !c.wide() {
			VMOVDQU32(constant(0x0f0f0f0f), mask)
		}
	}
	int8Product("VNNI", c, m, false, vectors, constants, func(t *int8Tile) {
		dots := avx512.vectors(m)
		for _, d := range dots {
			VPXORD(d, d, d)
		}
		for at := 0; at < c.codes; at += 64 {
			columns := t.weightsAVX512(at, mask)
			for i, weights := range columns {
				for r, d := range dots {
					vpdpbusd(t.q.at(r, 4*(at/64*len(columns)+i)), weights, d)
				}
			}
		}
		scale, offset := t.scaleAVX512()
		for r, d := range dots {
			t.addAVX512(d, t.sums[r][0], scale, offset, func(disp int) Mem { return t.blocks.at(r, disp) })
		}
	})
}

// weightsAVX512 unpacks 64 bytes of codes: four columns of a group a vector.
func (t *int8Tile) weightsAVX512(at int, mask reg.VecVirtual) []reg.VecVirtual {
	low := ZMM()
	VMOVDQU32(Mem{Base: t.codes, Disp: at}, low)
	if t.wide() {
		return []reg.VecVirtual{low}
	}
	high := ZMM()
	VPSRLW(U8(4), low, high)
	VPANDD(mask, low, low)
	VPANDD(mask, high, high)
	return []reg.VecVirtual{low, high}
}

// scaleAVX512 returns the scales and offsets of a block.
func (t *int8Tile) scaleAVX512() (scale, offset reg.VecVirtual) {
	scale, offset = ZMM(), ZMM()
	VCVTPH2PS(t.scales, scale)
	if t.offsets {
		VCVTPH2PS(t.scales.Offset(32), offset)
	}
	return scale, offset
}

// addAVX512 adds the products of a block, of which at is the Block, to sum.
func (t *int8Tile) addAVX512(dot, sum, scale, offset reg.VecVirtual, at func(disp int) Mem) {
	v := ZMM()
	if !t.offsets {
		VPBROADCASTD(at(blockSum), v)
		VPSLLD(U8(t.zero), v, v)
		VPSUBD(v, dot, dot)
	}
	VMULPS_BCST(at(blockScale), scale, v)
	VCVTDQ2PS(dot, dot)
	VMULPS(dot, v, v)
	VADDPS(v, sum, sum)
	if t.offsets {
		VMULPS_BCST(at(blockTotal), offset, v)
		VADDPS(v, sum, sum)
	}
}
