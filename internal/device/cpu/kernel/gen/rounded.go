package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Sizes of products of rounded matrices, as in the kernel package.
const (
	roundedColumns = 32
	roundedBlock   = 64 // terms that are summed in integers
)

// matMul is for rows of the left matrix: each block's sums of integers are added to acc
// times its row's scale, which stands for the block, and by.
func (s int16Products) matMul(rows int) {
	function("matMulInt16"+s.name,
		"acc *float32, ldacc int, a *uint16, lda int, scales *float32, ldScales int, b *uint32, half int, by float32, blocks int)",
		"is MatMul of the rounding to i16, whose strides and half are in bytes.")
	const vectors = 2
	acc, a, lda, scales := param("acc"), param("a"), param("lda"), param("scales")
	left, right := param("b"), GP64()
	// half computes the columns of two vectors: from left and right, or all from left.
	half := func(disp int, at func(vector, disp int) Mem, step int) {
		as := rowsFrom(a, rows, lda)
		scaleAt := copyOf(scales)
		loop(param("blocks"), func() {
			sums, columns, pair := s.zero(rows*vectors), s.vectors(vectors), s.vec()
			steps := GP64()
			const unrolled = 4
			MOVQ(imm(roundedBlock/2/unrolled), steps)
			loop(steps, func() {
				for p := range unrolled {
					for v, column := range columns {
						VMOVUPS(at(v, p*step), column)
					}
					for r := range rows {
						VPBROADCASTD(as.at(r, 4*p), pair)
						for v, column := range columns {
							s.dot(column, pair, sums[r*vectors+v])
						}
					}
				}
				as.right(4 * unrolled)
				ADDQ(imm(unrolled*step), left)
				if s.lanes == groupColumns {
					ADDQ(imm(unrolled*step), right)
				}
			})
			to, from, by, scale := copyOf(acc), copyOf(scaleAt), s.vec(), s.vec()
			VBROADCASTSS(address(Param("by")), by)
			for r := range rows {
				VBROADCASTSS(Mem{Base: from}, scale)
				VMULPS(by, scale, scale)
				for v := range vectors {
					sum, at := sums[r*vectors+v], Mem{Base: to, Disp: disp + v*s.bytes()}
					VCVTDQ2PS(sum, sum)
					VMULPS(scale, sum, sum)
					VADDPS(at, sum, sum)
					VMOVUPS(sum, at)
				}
				if r+1 < rows {
					ADDQ(address(Param("ldacc")), to)
					ADDQ(address(Param("ldScales")), from)
				}
			}
			ADDQ(imm(4), scaleAt)
		})
	}
	MOVQ(left, right)
	ADDQ(address(Param("half")), right)
	if s.lanes == groupColumns {
		half(0, func(v, disp int) Mem { return Mem{Base: []reg.Register{left, right}[v], Disp: disp} }, 4*groupColumns)
	} else {
		for h := range roundedColumns / groupColumns {
			half(h*4*groupColumns, func(v, disp int) Mem { return Mem{Base: left, Disp: disp + v*s.bytes()} }, 4*groupColumns)
			MOVQ(right, left)
		}
	}
	finish()
}
