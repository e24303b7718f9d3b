package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/flashback-lm/flashback/internal/device/cpu/kernel/gen/panels"
)

// coding is a form of a panel's blocks, as vectors of this processor read it.
type coding struct{ panels.Coding }

// nibbleCodes are the bytes of the nibbles of a block of a group, behind which the bits above
// them stand.
const (
	nibbleCodes = blockColumns * groupRows / 2
	nibbleMask  = 0x0f0f0f0f
)

// tops is the place of the bits above the nibbles of a 4 columns: in which of the vectors
// behind those of the nibbles, and how far they are to be moved to the left.
func (c coding) tops(columns int) (vector, left int) {
	bit := columns * (c.Bits - 4)
	return bit / 8, 4 - bit%8
}

// topMask are the bits above a nibble, in each byte.
func (c coding) topMask() uint32 { return uint32(1<<c.Bits-16) * 0x01010101 }

// Offsets in a Block, and its size.
const (
	blockScale = 0
	blockTotal = 4
	blockSums  = 8
	blockSize  = 12
)

// zeros returns what the pair of sums of a Block is multiplied by, in each lane, to have the
// part of the products that is due to the code of 0.
func (c coding) zeros(part int) Mem {
	zero := 1 << c.Zero()
	one := uint32(uint16(-zero))
	switch {
	case c.Parts() == 1:
		return constant(one | one<<16)
	case part == 0:
		return constant(one)
	}
	return constant(one << 16)
}

// int8Tile is m rows of activations times a group of weights or a half of it.
type int8Tile struct {
	coding
	sums      [][]reg.VecVirtual // f32: [m][vectors of columns]
	q, blocks rows               // the current block of the activations
	base      reg.GPVirtual      // that of the weights
	scales    Mem                // behind its codes
	vector    func() reg.VecVirtual
	super     [][]reg.VecVirtual // f32: scales and offsets of the first level
}

// newInt8Tile returns one of width vectors, whose weights stand at base.
func newInt8Tile(c coding, s *isa, width int, base reg.GPVirtual, scales Mem) *int8Tile {
	t := &int8Tile{coding: c, base: base, scales: scales, vector: s.vec}
	if c.Super {
		t.super = append(t.super, s.vectors(width))
		if c.Offsets {
			t.super = append(t.super, s.vectors(width))
		}
	}
	return t
}

// int8Product writes a function for m rows that runs block for each block of a
// group in width vectors or, where these are a half of it, of its first half and then of its second.
func int8Product(name string, s *isa, c coding, m, width int, constants func(), block func(*int8Tile)) {
	halves := width*s.lanes < groupRows
	function(fmt.Sprintf("matMulInt8%s%d%s", c.Name, m, name),
		"out *float32, ldo int, q *int8, blocks *byte, cols int, w *byte, groups, ahead, step int)",
		fmt.Sprintf("is MatMulInt8 for %d rows and whole groups.", m))
	constants()
	out, codes, steps := param("out"), param("w"), param("groups")
	q, blocks := rows{stride: param("cols")}, rows{stride: GP64()}
	count := copyOf(q.stride)
	SHRQ(U8(5), count)
	IMUL3Q(imm(blockSize), count, blocks.stride)
	if m >= 4 {
		q.stride3, blocks.stride3 = threefold(q.stride), threefold(blocks.stride)
	}
	scales := Mem{Base: codes, Disp: c.Codes()}
	if halves {
		base := GP64()
		LEAQ(scales, base)
		scales = Mem{Base: base}
		ADDQ(steps, steps)
	}
	var ahead, step reg.GPVirtual
	if halves {
		ahead, step = param("ahead"), param("step")
		ADDQ(codes, ahead)
	}
	loop(steps, func() {
		q.base, blocks.base = param("q"), param("blocks")
		for _, r := range []*rows{&q, &blocks} {
			if m > 4 {
				r.second = GP64()
				LEAQ(Mem{Base: r.base, Index: r.stride, Scale: 4}, r.second)
			}
		}
		t := newInt8Tile(c, s, width, codes, scales)
		t.q, t.blocks = q, blocks
		for range m {
			t.sums = append(t.sums, s.zero(width))
		}
		left := copyOf(count)
		loop(left, func() {
			if c.Super {
				t.loadSuper(left)
			}
			if ahead := fetchAhead(m, halves); ahead > 0 {
				// What is fetched behind the last block is never touched.
				for line := 0; line < c.Bytes(); line += 64 {
					PREFETCHT0(Mem{Base: codes, Disp: line + ahead})
				}
			}
			if halves {
				// Few rows wait for memory, too: see tiledMatMulInt8.
				PREFETCHT0(Mem{Base: ahead})
				PREFETCHT0(Mem{Base: ahead, Disp: 64})
				ADDQ(step, ahead)
			}
			block(t)
			t.q.right(blockColumns)
			t.blocks.right(blockSize)
			ADDQ(imm(c.Bytes()), codes)
			if halves {
				ADDQ(imm(c.Bytes()), scales.Base)
			}
		})
		ldo, to := bytes(param("ldo")), copyOf(out)
		var size int
		for r, row := range t.sums {
			if r > 0 {
				ADDQ(ldo, to)
			}
			for i, v := range row {
				VMOVUPS(v, Mem{Base: to, Disp: i * int(v.Size())})
			}
			size = len(row) * int(row[0].Size())
		}
		ADDQ(imm(size), out)
		if halves {
			nextHalf(c, steps, count, codes, scales.Base)
		}
	})
	finish()
}

// fetchAhead is how many bytes ahead of m rows' products weights are fetched, or 0. One row
// waits for memory, and so do tall tiles: the processor looks ahead by instructions, of which
// they have many for each line. Two rows and three are as fast without. Tiles of half a group
// of more than one row fetch their share of the next weights instead.
func fetchAhead(m int, halves bool) int {
	switch {
	case m == 1:
		return prefetch
	case m >= 4 && !halves:
		return 2 * prefetch
	}
	return 0
}

// As in package kernel.
const (
	blockColumns = panels.BlockColumns
	groupRows    = panels.GroupRows
)

// loadSuper loads the scales of the first level where a block is the first of eight, and
// moves on behind them.
func (t *int8Tile) loadSuper(left reg.Register) {
	inside := label("inside")
	TESTQ(imm(panels.SuperBlocks-1), left)
	JNZ(LabelRef(inside))
	for level, vectors := range t.super {
		for i, v := range vectors {
			VCVTPH2PS(t.scales.Offset(int(v.Size())/2*i+2*groupRows*level-t.coding.Codes()), v)
		}
	}
	ADDQ(imm(t.coding.Scales()), t.base)
	if t.scales.Base != t.base {
		ADDQ(imm(t.coding.Scales()), t.scales.Base)
	}
	Label(inside)
}

// factors returns the i-th vectors of the scales of a part of a block, and of its offsets.
func (t *int8Tile) factors(i, part int) (scale, offset reg.VecVirtual) {
	scale, offset = t.vector(), t.vector()
	half := int(scale.Size()) / 2 // of f16 as many
	if !t.coding.Super {
		VCVTPH2PS(t.scales.Offset(half*i), scale)
		if t.Offsets {
			VCVTPH2PS(t.scales.Offset(2*groupRows+half*i), offset)
		}
		return scale, offset
	}
	steps := t.vector()
	VPMOVSXWD(t.scales.Offset(half*i), steps)
	first, last := scale, offset
	if t.Parts() == 2 {
		last = scale
	}
	if t.Offsets || part == 0 {
		VPSLLD(U8(24), steps, first)
		VPSRAD(U8(24), first, first)
	}
	if t.Offsets || part == 1 {
		VPSRAD(U8(8), steps, last)
	}
	VCVTDQ2PS(scale, scale)
	VMULPS(t.super[0][i], scale, scale)
	if t.Offsets {
		VCVTDQ2PS(offset, offset)
		VMULPS(t.super[1][i], offset, offset)
	}
	return scale, offset
}

// nextHalf moves from behind a half of a group to the next: halves left is even
// at a first one. The codes of half a group are 32 bytes of each 64, the scales
// 16 of 32.
func nextHalf(c coding, left, count reg.GPVirtual, codes, scales reg.Register) {
	second, done := label("second"), label("done")
	TESTQ(imm(1), left)
	JNZ(LabelRef(second))
	back := copyOf(count)
	if c.Super {
		SHRQ(U8(3), back)
		IMUL3Q(imm(panels.SuperBlocks*c.Bytes()+c.Scales()), back, back)
	} else {
		IMUL3Q(imm(c.Bytes()), back, back)
	}
	SUBQ(back, codes)
	SUBQ(back, scales)
	ADDQ(imm(32), codes)
	ADDQ(imm(16), scales)
	JMP(LabelRef(done))
	Label(second)
	SUBQ(imm(32), codes)
	SUBQ(imm(16), scales)
	Label(done)
}
