package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// blockKeys is how many keys a block of the cache holds, and how many elements
// share a scale.
const blockKeys = 32

// expandCodes turns a vector of 8-bit codes into f32.
func expandCodes(m Mem, v reg.VecVirtual) {
	VPMOVSXBD(m, v)
	VCVTDQ2PS(v, v)
}

// scoresInt8 adds m rows of scores of a block of keys in 8 bits, which lie across.
func (s *isa) scoresInt8(m int) {
	function(fmt.Sprintf("scoresInt8%d%s", m, s.name),
		"acc *float32, lda int, q *float32, ldq int, codes *int8, scales *float32, dim int, next *int8)",
		fmt.Sprintf("is ScoresInt8 for m = %d.", m))
	acc := rows{base: param("acc"), stride: bytes(param("lda"))}
	q := rows{base: param("q"), stride: bytes(param("ldq"))}
	codes, scales, dim, next := param("codes"), param("scales"), param("dim"), param("next")
	width := blockKeys / s.lanes
	steps, most := GP64(), GP64()
	MOVQ(imm(blockKeys), most)
	top, end := label("while"), label("end")
	Label(top)
	TESTQ(dim, dim)
	JZ(LabelRef(end))
	MOVQ(dim, steps)
	CMPQ(steps, most)
	CMOVQGT(most, steps)
	SUBQ(steps, dim)
	sums := s.zero(m * width)
	weights, values := s.vectors(m), s.vec()
	loop(steps, func() {
		PREFETCHT0(Mem{Base: next})
		for i, weight := range weights {
			VBROADCASTSS(q.at(i, 0), weight)
		}
		for c := range width {
			expandCodes(Mem{Base: codes, Disp: c * s.lanes}, values)
			for i, weight := range weights {
				VFMADD231PS(weight, values, sums[i*width+c])
			}
		}
		q.right(4)
		ADDQ(imm(blockKeys), codes)
		ADDQ(imm(blockKeys), next)
	})
	for c := range width {
		VMOVUPS(Mem{Base: scales, Disp: c * s.bytes()}, values)
		for i := range m {
			at := acc.at(i, c*s.bytes())
			VFMADD213PS(at, values, sums[i*width+c])
			VMOVUPS(sums[i*width+c], at)
		}
	}
	ADDQ(imm(4*blockKeys), scales)
	JMP(LabelRef(top))
	Label(end)
	finish()
}

// outputsInt8 adds m weighted sums of values in 8 bits.
func (s *isa) outputsInt8(m int) {
	function(fmt.Sprintf("outputsInt8%d%s", m, s.name),
		"acc *float32, lda int, p *float32, ldp int, codes *int8, scales *float32, n int, dim int, next *int8)",
		fmt.Sprintf("is OutputsInt8 for m = %d.", m))
	acc := rows{base: param("acc"), stride: bytes(param("lda"))}
	p := rows{base: param("p"), stride: bytes(param("ldp"))}
	codes, scales, n, dim, next := param("codes"), param("scales"), param("n"), param("dim"), param("next")
	stride := copyOf(dim)

	columns := func(width int) {
		s.addTo(acc, m, width, nil, func(sums []reg.VecVirtual) {
			ps, from, scale := p.copy(), copyOf(codes), copyOf(scales)
			weights, values := s.vectors(m), s.vec()
			loop(copyOf(n), func() {
				PREFETCHT0(Mem{Base: next})
				VBROADCASTSS(Mem{Base: scale}, values)
				for i, weight := range weights {
					VBROADCASTSS(ps.at(i, 0), weight)
					VMULPS(values, weight, weight)
				}
				for c := range width {
					expandCodes(Mem{Base: from, Disp: c * s.lanes}, values)
					for i, weight := range weights {
						VFMADD231PS(weight, values, sums[i*width+c])
					}
				}
				ps.right(4)
				ADDQ(imm(4), scale)
				ADDQ(stride, from)
				ADDQ(imm(width*s.lanes), next)
			})
		})
		ADDQ(imm(width*s.lanes), codes)
	}
	while(dim, blockKeys, func() {
		columns(blockKeys / s.lanes)
		ADDQ(imm(4*blockKeys), scales)
	})
	while(dim, s.lanes, func() { columns(1) }) // the last scale's
	finish()
}
