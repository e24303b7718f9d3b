package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// coding is a form of a panel's codes: see Panel.
type coding struct {
	name    string
	codes   int // bytes of the codes of a block of a group
	offsets bool
	zero    uint8 // binary logarithm of the code of a weight that is 0; no offsets
}

// Bytes of the codes of a block of a group.
const (
	nibbleCodes = 256
	wideCodes   = 512
)

var codings = []coding{
	{name: "Nibbles", codes: nibbleCodes, zero: 3},
	{name: "OffsetNibbles", codes: nibbleCodes, offsets: true},
	{name: "Wide", codes: wideCodes, zero: 7},
}

func (c coding) wide() bool { return c.codes == wideCodes }

// bytes returns the bytes of a block of a group.
func (c coding) bytes() int {
	if c.offsets {
		return c.codes + 64
	}
	return c.codes + 32
}

// Offsets in a Block, and its size.
const (
	blockScale = 0
	blockTotal = 4
	blockSum   = 8
	blockSize  = 12
)

// int8Tile is m rows of activations times a group of weights or a half of it.
type int8Tile struct {
	coding
	sums      [][]reg.VecVirtual // f32: [m][vectors of columns]
	q, blocks rows               // the current block of the activations
	codes     reg.GPVirtual      // that of the weights
	scales    Mem
}

// int8Product writes a function for m rows that runs block for each block of a
// group, or of its first half and then of its second.
func int8Product(isa string, c coding, m int, halves bool, vectors func() []reg.VecVirtual, constants func(), block func(*int8Tile)) {
	function(fmt.Sprintf("matMulInt8%s%d%s", c.name, m, isa),
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
	scales := Mem{Base: codes, Disp: c.codes}
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
		t := &int8Tile{coding: c, q: q, blocks: blocks, codes: codes, scales: scales}
		for range m {
			row := vectors()
			for _, v := range row {
				VXORPS(v, v, v)
			}
			t.sums = append(t.sums, row)
		}
		loop(copyOf(count), func() {
			if m == 1 {
				// One row waits for memory. What is prefetched behind the last
				// block is never touched.
				for line := 0; line < c.bytes(); line += 64 {
					PREFETCHT0(Mem{Base: codes, Disp: line + prefetch})
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
			ADDQ(imm(c.bytes()), codes)
			if halves {
				ADDQ(imm(c.bytes()), scales.Base)
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

// blockColumns is as in package kernel.
const blockColumns = 32

// nextHalf moves from behind a half of a group to the next: halves left is even
// at a first one. The codes of half a group are 32 bytes of each 64, the scales
// 16 of 32.
func nextHalf(c coding, left, count reg.GPVirtual, codes, scales reg.Register) {
	second, done := label("second"), label("done")
	TESTQ(imm(1), left)
	JNZ(LabelRef(second))
	back := GP64()
	IMUL3Q(imm(c.bytes()), count, back)
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
