package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// matMul multiplies m rows of x with all n rows of w. Element k goes to lane
// k mod lanes of its output's sum, by FMA in the order of k.
func (s *isa) matMul(m int) {
	function(fmt.Sprintf("matMul%d%s", m, s.name),
		"out *float32, ldo int, x *float32, ldx int, w *float32, ldw int, n int, k int)",
		fmt.Sprintf("is MatMul for m = %d.", m))
	out := rows{base: param("out"), stride: bytes(param("ldo"))}
	x := rows{base: param("x"), stride: bytes(param("ldx"))}
	w := rows{base: param("w"), stride: bytes(param("ldw"))}
	n, k := param("n"), param("k")
	w.stride3 = threefold(w.stride)
	if m == 4 {
		x.stride3, out.stride3 = threefold(x.stride), threefold(out.stride)
	}

	// tile computes the outputs of the next width rows of w.
	tile := func(width int) {
		acc := s.zero(m * width)
		xs, ws := x.copy(), w.copy()
		if width == 8 {
			ws.second = GP64()
			LEAQ(Mem{Base: w.base, Index: w.stride, Scale: 4}, ws.second)
		}
		steps := copyOf(k)
		SHRQ(U8(s.shift()), steps)
		values, weights := s.vectors(m), s.vec()
		loop(steps, func() {
			for i, v := range values {
				VMOVUPS(xs.at(i, 0), v)
			}
			for j := range width {
				if m == 1 {
					VFMADD231PS(ws.at(j, 0), values[0], acc[j])
					continue
				}
				VMOVUPS(ws.at(j, 0), weights)
				for i, v := range values {
					VFMADD231PS(v, weights, acc[i*width+j])
				}
			}
			xs.right(s.bytes())
			ws.right(s.bytes())
		})
		done := label("done")
		TESTQ(imm(s.lanes-1), k)
		JZ(LabelRef(done))
		for i, v := range values {
			s.loadTail(k, xs.at(i, 0), v)
		}
		for j := range width {
			s.loadTail(k, ws.at(j, 0), weights)
			for i, v := range values {
				VFMADD231PS(v, weights, acc[i*width+j])
			}
		}
		Label(done)
		if width == 1 {
			for i, sum := range acc {
				VMOVSS(s.sum(sum).AsX(), out.at(i, 0))
			}
		}
		for j := 0; j+4 <= width; j += 4 {
			four := make([][]reg.VecVirtual, m)
			for i := range four {
				four[i] = acc[i*width+j:][:4]
			}
			s.storeSums(four, func(i int) Mem { return out.at(i, 4*j) })
		}
		out.right(4 * width)
		w.down(width)
	}
	widths := []int{4, 1}
	if m == 1 {
		widths = []int{8, 4, 1} // one row needs as many sums in flight
	}
	for _, width := range widths {
		while(n, width, func() { tile(width) })
	}
	finish()
}

// addTo loads the next width vectors of columns of m rows of acc, or those of a mask,
// lets body add to them, stores them and moves on.
func (s *isa) addTo(acc rows, m, width int, k mask, body func(sums []reg.VecVirtual)) {
	sums := s.vectors(m * width)
	for i, sum := range sums {
		load(acc.at(i/width, i%width*s.bytes()), k, sum)
	}
	body(sums)
	for i, sum := range sums {
		store(sum, k, acc.at(i/width, i%width*s.bytes()))
	}
	acc.right(width * s.bytes())
}

// accumulate adds m weighted sums of the rows of v, by FMA in their order.
func (s *isa) accumulate(m int) {
	function(fmt.Sprintf("accumulate%d%s", m, s.name),
		"acc *float32, lda int, p *float32, ldp int, v *float32, ldv int, n int, dim int)",
		fmt.Sprintf("is Accumulate for m = %d.", m))
	acc := rows{base: param("acc"), stride: bytes(param("lda"))}
	p := rows{base: param("p"), stride: bytes(param("ldp"))}
	v, ldv := param("v"), bytes(param("ldv"))
	n, dim := param("n"), param("dim")
	if m == 4 {
		acc.stride3, p.stride3 = threefold(acc.stride), threefold(p.stride)
	}

	// columns handles the next width vectors of columns, or those of a mask.
	columns := func(width int, k mask) {
		s.addTo(acc, m, width, k, func(sums []reg.VecVirtual) {
			ps, vs := p.copy(), copyOf(v)
			weights, values := s.vectors(m), s.vec()
			loop(copyOf(n), func() {
				for i, weight := range weights {
					VBROADCASTSS(ps.at(i, 0), weight)
				}
				for c := range width {
					at := Mem{Base: vs, Disp: c * s.bytes()}
					if k == nil && m == 1 {
						VFMADD231PS(at, weights[0], sums[c])
						continue
					}
					load(at, k, values)
					for i, weight := range weights {
						VFMADD231PS(weight, values, sums[i*width+c])
					}
				}
				ps.right(4)
				ADDQ(ldv, vs)
			})
		})
		ADDQ(imm(s.bytes()*width), v)
	}
	widths := []int{4, 1}
	if m == 1 {
		widths = []int{8, 4, 1} // as many sums in flight
	}
	for _, width := range widths {
		while(dim, width*s.lanes, func() { columns(width, nil) })
	}
	end := label("end")
	TESTQ(dim, dim)
	JZ(LabelRef(end))
	columns(1, s.mask(dim))
	Label(end)
	finish()
}

// accumulateHalf is accumulate for dense rows of f16, a multiple of 8 of them
// wide. For each line of v it prefetches one of next.
func (s *isa) accumulateHalf(m int) {
	function(fmt.Sprintf("accumulateHalf%d%s", m, s.name),
		"acc *float32, lda int, p *float32, ldp int, v *uint16, n int, dim int, next *uint16)",
		fmt.Sprintf("is AccumulateHalf for m = %d.", m))
	acc := rows{base: param("acc"), stride: bytes(param("lda"))}
	p := rows{base: param("p"), stride: bytes(param("ldp"))}
	v, n, dim, next := param("v"), param("n"), param("dim"), param("next")
	ldv := copyOf(dim)
	ADDQ(ldv, ldv)

	columns := func(width int) {
		s.addTo(acc, m, width, nil, func(sums []reg.VecVirtual) {
			ps, vs := p.copy(), copyOf(v)
			weights, values := s.vectors(m), s.vec()
			loop(copyOf(n), func() {
				PREFETCHT0(Mem{Base: next})
				for i, weight := range weights {
					VBROADCASTSS(ps.at(i, 0), weight)
				}
				for c := range width {
					VCVTPH2PS(Mem{Base: vs, Disp: c * s.bytes() / 2}, values)
					for i, weight := range weights {
						VFMADD231PS(weight, values, sums[i*width+c])
					}
				}
				ADDQ(imm(width*s.bytes()/2), next)
				ps.right(4)
				ADDQ(ldv, vs)
			})
		})
		ADDQ(imm(s.bytes()/2*width), v)
	}
	for _, width := range []int{4, 1} {
		while(dim, width*s.lanes, func() { columns(width) })
	}
	finish()
}
