package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/flashback-lm/flashback/internal/device/cpu/kernel/gen/panels"
)

// tallInt8VNNI is how many rows the tallest tile has.
const tallInt8VNNI = 8

func int8VNNI() {
	for _, of := range panels.Codings {
		c := coding{of}
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
	var masks []reg.VecVirtual
	constants := func() { masks = c.masksAVX512() }
	int8Product("VNNI", avx512, c, m, 1, constants, func(t *int8Tile) {
		perPart := blockColumns / 4 / c.Parts()
		for part := range c.Parts() {
			dots := avx512.vectors(m)
			for _, d := range dots {
				VPXORD(d, d, d)
			}
			t.weightsAVX512(Mem{Base: t.base}, part*perPart, perPart, masks, func(columns int, weights reg.VecVirtual) {
				for r, d := range dots {
					vpdpbusd(t.q.at(r, 4*columns), weights, d)
				}
			})
			scale, offset := t.factors(0, part)
			zeros := t.zerosAVX512(part)
			for r, d := range dots {
				t.addAVX512(d, t.sums[r][0], scale, offset, zeros, func(disp int) Mem { return t.blocks.at(r, disp) })
			}
		}
	})
}

// masksAVX512 returns what weightsAVX512 needs: the bits of a nibble and those of a code.
func (c coding) masksAVX512() []reg.VecVirtual {
	var masks []reg.VecVirtual
	switch c.Bits {
	case 4:
		masks = avx512.vectors(1)
	case 5, 6:
		masks = avx512.vectors(2)
		VMOVDQU32(constant(c.topMask()|nibbleMask), masks[1])
	default:
		return nil
	}
	VMOVDQU32(constant(nibbleMask), masks[0])
	return masks
}

// weightsAVX512 hands n vectors of codes to sink, from the first on, each of four columns of a
// group; from is where the block's are.
func (t *int8Tile) weightsAVX512(from Mem, first, n int, masks []reg.VecVirtual, sink func(columns int, weights reg.VecVirtual)) {
	var high, tops reg.VecVirtual
	loaded := -1
	for columns := first; columns < first+n; columns++ {
		weights := ZMM()
		switch {
		case t.Wide():
			VMOVDQU32(from.Offset(64*columns), weights)
			sink(columns, weights)
			continue
		case columns%2 == 0:
			high = ZMM()
			VMOVDQU32(from.Offset(32*columns), weights)
			VPSRLW(U8(4), weights, high)
		default:
			weights = high
		}
		if t.Bits == 4 {
			VPANDD(masks[0], weights, weights)
			sink(columns, weights)
			continue
		}
		vector, left := t.tops(columns)
		if vector != loaded {
			tops, loaded = ZMM(), vector
			VMOVDQU32(from.Offset(nibbleCodes+64*vector), tops)
		}
		moved := tops
		if left != 0 {
			moved = ZMM()
		}
		if left > 0 {
			VPSLLW(U8(left), tops, moved)
		} else if left < 0 {
			VPSRLW(U8(-left), tops, moved)
		}
		VPTERNLOGD(U8(0xe2), moved, masks[0], weights) // of a nibble's bits weights, of the others moved
		VPANDD(masks[1], weights, weights)
		sink(columns, weights)
	}
}

// zerosAVX512 returns the zeros of a part, or nil.
func (t *int8Tile) zerosAVX512(part int) reg.VecVirtual {
	if t.Offsets {
		return nil
	}
	zeros := ZMM()
	VMOVDQU32(t.zeros(part), zeros)
	return zeros
}

// addAVX512 adds the products of a part of a block, of which at is the Block, to sum.
func (t *int8Tile) addAVX512(dot, sum, scale, offset, zeros reg.VecVirtual, at func(disp int) Mem) {
	v := ZMM()
	if !t.Offsets {
		instructionVNNI("VPDPWSSD", []string{"BCST"}, at(blockSums), zeros, dot)
	}
	VMULPS_BCST(at(blockScale), scale, v)
	VCVTDQ2PS(dot, dot)
	VMULPS(dot, v, v)
	VADDPS(v, sum, sum)
	if t.Offsets {
		VMULPS_BCST(at(blockTotal), offset, v)
		VADDPS(v, sum, sum)
	}
}
