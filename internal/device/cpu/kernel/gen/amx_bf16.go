package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Tiles of products in bf16: four of sums, two of each operand, so that what is
// loaded is used twice. All have 16 rows of 64 bytes.
const (
	sumsBF16  = 0 // 0 … 3: [16 rows][16 columns] f32, above and below, left and right
	leftBF16  = 4 // 4 above, 5 below: [16 rows][32] bf16
	rightBF16 = 6 // 6 left, 7 right: [16 pairs][16 columns][2] bf16
)

func bf16Shapes() []tileShape {
	shapes := make([]tileShape, 8)
	for i := range shapes {
		shapes[i] = tileShape{16, 64}
	}
	return shapes
}

// tileProductBF16 adds to f32 c the products of bf16 a and b.
func tileProductBF16(c, a, b byte) { // TDPBF16PS
	vex(prefixF3, b, 0x5c, []byte{3<<6 | c<<3 | a})
}

func bf16AMX() {
	matMulBF16AMX()
	toBF16AVX512()
}

// matMulBF16AMX configures and releases the tiles inside, as matMulInt8AMX does.
func matMulBF16AMX() {
	TEXT("matMulBF16AMX", NOSPLIT, "func(acc *float32, ldacc int, a *uint16, lda int, b *uint32, steps int)")
	Pragma("noescape")
	Doc("matMulBF16AMX is MatMulBF16 for steps times 32 terms.")
	above, below, left, right, stride, line := reg.RAX, reg.RSI, reg.RBX, reg.RDI, reg.RCX, reg.RDX
	steps := param("steps")
	LEAQ(tileConfig("tileConfigBF16", bf16Shapes()), above)
	loadTileConfig(above)

	// matrix loads where its first row and its row 16 stand, and the bytes of a row, of
	// elements of 1<<shift bytes.
	matrix := func(name string, shift uint8) {
		Load(Param(name), above)
		Load(Param("ld"+name), stride)
		SHLQ(U8(shift), stride)
		MOVQ(stride, below)
		SHLQ(U8(4), below)
		ADDQ(above, below)
	}
	// sums runs f for each tile of sums and where it stands.
	sums := func(f func(tile byte, base, stride reg.Register)) {
		matrix("acc", 2)
		for i, base := range []reg.Register{above, below} {
			f(sumsBF16+2*byte(i), base, stride)
			ADDQ(imm(64), base)
			f(sumsBF16+2*byte(i)+1, base, stride)
		}
	}
	sums(tileLoad)
	matrix("a", 1)
	Load(Param("b"), left)
	MOVQ(steps, right)
	SHLQ(U8(10), right) // 16 pairs of 16 columns of 4 bytes
	ADDQ(left, right)
	MOVQ(imm(64), line)
	loop(steps, func() {
		tileLoad(leftBF16, above, stride)
		tileLoad(rightBF16, left, line)
		tileProductBF16(sumsBF16, leftBF16, rightBF16)
		tileLoad(rightBF16+1, right, line)
		tileProductBF16(sumsBF16+1, leftBF16, rightBF16+1)
		tileLoad(leftBF16+1, below, stride)
		tileProductBF16(sumsBF16+2, leftBF16+1, rightBF16)
		tileProductBF16(sumsBF16+3, leftBF16+1, rightBF16+1)
		ADDQ(imm(64), above)
		ADDQ(imm(64), below)
		ADDQ(imm(1024), left)
		ADDQ(imm(1024), right)
	})
	sums(tileStore)
	releaseTiles()
	finish()
}

// toBF16AVX512 rounds by VCVTNEPS2BF16, which avo and Go's assembler do not know:
// EVEX.512.F3.0F38.W0 72 /r, here from Z0 to Y0.
func toBF16AVX512() {
	function("toBF16AVX512", "dst *uint16, src *float32, vectors int)", "is ToBF16 for whole vectors of 16.")
	dst, src, vectors := param("dst"), param("src"), param("vectors")
	loop(vectors, func() {
		VMOVUPS(Mem{Base: src}, reg.Z0)
		for i, b := range []byte{0x62, 0xf2, 0x7e, 0x48, 0x72, 0xc0} {
			instruction := &ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(b)}}
			if i == 0 {
				instruction.Inputs, instruction.Outputs = []Op{reg.Z0}, []Op{reg.Y0}
			}
			Instruction(instruction)
		}
		VMOVDQU(reg.Y0, Mem{Base: dst})
		ADDQ(imm(64), src)
		ADDQ(imm(32), dst)
	})
	finish()
}
