package main

import (
	"encoding/binary"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/flashback-lm/flashback/internal/device/cpu/kernel/gen/panels"
)

// AMX multiplies tiles, registers of at most 16 rows of 64 bytes. Neither avo nor
// Go's assembler knows its instructions, so that they are given as bytes:
//
//	C4                     a VEX prefix of three bytes
//	E2                     no register above 7; opcode map 0F38
//	0 vvvv 0 pp            the third operand, complemented, and a prefix
//	opcode, ModRM, SIB
//
// (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.) The
// registers of addresses are fixed, and all below 8.

// Tiles of products in 8 bits, as int8Shapes has them.
const (
	tileC = 0 // [16 rows of activations][16 columns] int32
	tileA = 1 // activations [16 rows][32 columns] int8
	tileB = 2 // weights [8 × 4 columns][16 rows][4 columns] uint8
)

// The prefixes pp.
const (
	prefixNone = 0
	prefixF3   = 2
	prefixF2   = 3
)

// vex emits an AMX instruction. third is its operand vvvv, or 0.
func vex(prefix, third, opcode byte, rest []byte, inputs ...Op) {
	code := append([]byte{0xc4, 0xe2, (^third&15)<<3 | prefix, opcode}, rest...)
	for i, b := range code {
		instruction := &ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(b)}}
		if i == 0 {
			instruction.Inputs = inputs
		}
		Instruction(instruction)
	}
}

// encodings are those of the registers that hold addresses.
var encodings = map[reg.Register]byte{reg.RAX: 0, reg.RCX: 1, reg.RDX: 2, reg.RBX: 3, reg.RSI: 6, reg.RDI: 7}

// tileAddress is ModRM and SIB of a tile and the memory of its rows, which stand
// stride apart from base on.
func tileAddress(tile byte, base, stride reg.Register) []byte {
	return []byte{tile<<3 | 4, encodings[stride]<<3 | encodings[base]}
}

func tileLoad(tile byte, base, stride reg.Register) { // TILELOADD
	vex(prefixF2, 0, 0x4b, tileAddress(tile, base, stride), base, stride)
}

func tileStore(tile byte, base, stride reg.Register) { // TILESTORED
	vex(prefixF3, 0, 0x4b, tileAddress(tile, base, stride), base, stride)
}

func tileZero(tile byte) { // TILEZERO
	vex(prefixF2, 0, 0x49, []byte{3<<6 | tile<<3})
}

// tileProduct adds to int32 c the products of signed bytes a and unsigned b.
func tileProduct(c, a, b byte) { // TDPBSUD
	vex(prefixF3, b, 0x5e, []byte{3<<6 | c<<3 | a})
}

func loadTileConfig(base reg.Register) { // LDTILECFG
	vex(prefixNone, 0, 0x49, []byte{encodings[base]}, base)
}

func releaseTiles() { // TILERELEASE
	vex(prefixNone, 0, 0x49, []byte{3 << 6})
}

// tileShape is how many rows a tile has, and bytes a row.
type tileShape struct{ rows, bytes byte }

var int8Shapes = []tileShape{tileC: {16, 64}, tileA: {16, 32}, tileB: {8, 64}}

// tileConfig is the memory operand of LDTILECFG: palette 1, at 16 the bytes of a
// row of each tile in 16 bits, at 48 the rows.
func tileConfig(name string, shapes []tileShape) Mem {
	config := [64]byte{0: 1}
	for tile, shape := range shapes {
		config[48+tile], config[16+2*tile] = shape.rows, shape.bytes
	}
	return vector(name, func(i int) uint32 { return binary.LittleEndian.Uint32(config[4*i:]) })
}

func int8AMX() {
	for _, of := range panels.Codings {
		c := coding{of}
		if c.Parts() == 1 {
			matMulInt8AMX(c)
		}
	}
}

// tileRows is how many rows of activations a product of tiles takes.
const tileRows = 16

// matMulInt8AMX is for 16 rows. Of each block it multiplies one pair of tiles,
// whose products go through memory to where f32 is; the next block's are under
// way by then. The tiles are configured and released inside, so that Go's
// scheduler never sees them in use.
func matMulInt8AMX(c coding) {
	TEXT("matMulInt8"+c.Name+"AMX", 0, "func(out *float32, ldo int, q *int8, blocks *byte, cols int, w *byte, groups, ahead, step int)")
	Pragma("noescape")
	Doc("matMulInt8" + c.Name + "AMX is MatMulInt8 for 16 rows and whole groups.")
	// Aligned memory for the products of two blocks and, behind them, for as many
	// codes. Flipping the bit of its size turns one into the other.
	const size = tileRows * 64
	local := AllocLocal(2*size + size + blockColumns*groupRows + 2*size)
	q, cols, tile, scratch, line := reg.RAX, reg.RCX, reg.RBX, reg.RSI, reg.RDX
	LEAQ(tileConfig("tileConfig", int8Shapes), q)
	loadTileConfig(q)
	LEAQ(local.Offset(2*size-1), scratch)
	ANDQ(I32(-2*size), scratch)
	MOVQ(imm(64), line)
	Load(Param("cols"), cols)

	masks := c.masksAVX512()
	out, codes, count, stride := param("out"), param("w"), param("cols"), GP64()
	SHRQ(U8(5), count)
	IMUL3Q(imm(blockSize), count, stride)
	stride3 := threefold(stride)
	t := newInt8Tile(c, avx512, 1, codes, Mem{Base: codes, Disp: c.Codes()})

	// multiply begins the products of the block whose codes stand there.
	multiply := func(block Mem) {
		if c.Wide() {
			LEAQ(block, tile)
		} else {
			LEAQ(Mem{Base: scratch, Disp: 2 * size}, tile)
			t.weightsAVX512(block, 0, blockColumns/4, masks, func(columns int, weights reg.VecVirtual) {
				VMOVDQU32(weights, Mem{Base: tile, Disp: 64 * columns})
			})
		}
		tileZero(tileC)
		tileLoad(tileA, q, cols)
		tileLoad(tileB, tile, line)
		tileProduct(tileC, tileA, tileB)
		tileStore(tileC, scratch, line)
		ADDQ(imm(blockColumns), q)
	}
	loop(param("groups"), func() {
		Load(Param("q"), q)
		blocks := param("blocks")
		sums := avx512.zero(tileRows)
		first := Mem{Base: codes}
		if c.Super {
			first.Disp = c.Scales()
		}
		multiply(first)
		left := copyOf(count)
		loop(left, func() {
			if c.Super {
				t.loadSuper(left)
			}
			products, last := GP64(), label("last")
			MOVQ(scratch, products)
			CMPQ(left, imm(1))
			JEQ(LabelRef(last))
			XORQ(imm(size), scratch)
			next := Mem{Base: codes, Disp: c.Bytes()}
			if c.Super { // scales stand in front of a first of eight
				at, inside := GP64(), label("inside")
				LEAQ(Mem{Base: left, Disp: -1}, at)
				TESTQ(imm(panels.SuperBlocks-1), at)
				LEAQ(next, at)
				JNZ(LabelRef(inside))
				ADDQ(imm(c.Scales()), at)
				Label(inside)
				next = Mem{Base: at}
			}
			multiply(next)
			Label(last)

			scale, offset := t.factors(0, 0)
			zeros := t.zerosAVX512(0)
			at := rows{base: copyOf(blocks), stride: stride, stride3: stride3}
			for r, sum := range sums {
				dot := ZMM()
				VMOVDQU32(Mem{Base: products, Disp: 64 * r}, dot)
				t.addAVX512(dot, sum, scale, offset, zeros, func(disp int) Mem { return at.at(r%4, disp) })
				if r%4 == 3 {
					at.down(4)
				}
			}
			ADDQ(imm(blockSize), blocks)
			ADDQ(imm(c.Bytes()), codes)
		})
		ldo, to := bytes(param("ldo")), copyOf(out)
		for r, sum := range sums {
			if r > 0 {
				ADDQ(ldo, to)
			}
			VMOVUPS(sum, Mem{Base: to})
		}
		ADDQ(imm(64), out)
	})
	releaseTiles()
	finish()
}
