package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// avx2 is the set for AVX2, FMA and F16C: vectors of 8 lanes.
func avx2() {
	for m := 1; m <= 3; m++ {
		matMulAVX2(m)
	}
	for m := 1; m <= 3; m++ {
		accumulateAVX2(m)
	}
	for _, f := range formatsAVX2() {
		dequantizeAVX2(f)
		matVecAVX2(f)
	}
	softmaxAVX2()
	swiGLUAVX2()
	rmsNormAVX2()
	scaleAVX2()
	addAVX2()
	rotateAVX2()
}

// maskOf sets mask to the lanes below count mod 8.
func maskOf(count reg.Register, mask reg.VecVirtual) {
	if tailMask == nil {
		m := GLOBL("tail", RODATA|NOPTR)
		for i := range 16 {
			lane := uint32(0)
			if i < 8 {
				lane = 0xffffffff
			}
			DATA(4*i, U32(lane))
		}
		tailMask = &m
	}
	at, base := GP64(), GP64()
	MOVQ(count, at)
	ANDQ(U32(7), at)
	NEGQ(at)
	LEAQ(tailMask.Offset(32), base)
	VMOVDQU(Mem{Base: base, Index: at, Scale: 4}, mask)
}

var tailMask *Mem

// zero returns n vectors of zeros.
func zero(n int) []reg.VecVirtual {
	v := make([]reg.VecVirtual, n)
	for i := range v {
		v[i] = YMM()
		VXORPS(v[i], v[i], v[i])
	}
	return v
}

// sum4 folds the lanes l of four vectors, ((l0+l2)+(l1+l3)) + ((l4+l6)+(l5+l7)),
// into one vector of four sums.
func sum4(v []reg.VecVirtual) reg.VecVirtual {
	t := YMM()
	fold := func(a, b reg.VecVirtual) {
		VUNPCKHPS(b, a, t)
		VUNPCKLPS(b, a, a)
		VADDPS(t, a, a)
	}
	fold(v[0], v[1])
	fold(v[2], v[3])
	VUNPCKHPD(v[2], v[0], t)
	VUNPCKLPD(v[2], v[0], v[0])
	VADDPS(t, v[0], v[0])
	return addHalves(v[0])
}

// sum1 folds one vector in the order of sum4.
func sum1(v reg.VecVirtual) reg.VecVirtual {
	t := YMM()
	VUNPCKHPD(v, v, t)
	VADDPS(t, v, v)
	VMOVSHDUP(v, t)
	VADDPS(t, v, v)
	return addHalves(v)
}

func addHalves(v reg.VecVirtual) reg.VecVirtual {
	high := XMM()
	VEXTRACTF128(U8(1), v, high)
	VADDPS(high, v.AsX(), high)
	return high
}

// matMulAVX2 multiplies m rows of x with all n rows of w. Element k goes to lane
// k mod 8 of its output's sum, by FMA in the order of k.
func matMulAVX2(m int) {
	function(fmt.Sprintf("matMul%dAVX2", m), "func(out *float32, ldo int, x *float32, ldx int, w *float32, ldw int, n int, k int)")
	Doc(fmt.Sprintf("matMul%dAVX2 is MatMul for m = %d.", m, m))
	out, ldo := param("out"), bytes(param("ldo"))
	x := rows{base: param("x"), stride: bytes(param("ldx"))}
	w := rows{base: param("w"), stride: bytes(param("ldw"))}
	n, k := param("n"), param("k")
	w.stride3 = GP64()
	LEAQ(Mem{Base: w.stride, Index: w.stride, Scale: 2}, w.stride3)

	// tile computes the outputs of the next width rows of w.
	tile := func(width int) {
		acc := zero(m * width)
		xs, ws := x, w
		xs.base, ws.base = copyOf(x.base), copyOf(w.base)
		if width == 8 {
			ws.second = GP64()
			LEAQ(Mem{Base: w.base, Index: w.stride, Scale: 4}, ws.second)
		}
		steps := copyOf(k)
		SHRQ(U8(3), steps)
		values, weights := make([]reg.VecVirtual, m), YMM()
		for i := range values {
			values[i] = YMM()
		}
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
			xs.advance(32)
			ws.advance(32)
		})
		done := label("done")
		TESTQ(U32(7), k)
		JZ(LabelRef(done))
		maskOf(k, weights)
		for i, v := range values {
			VMASKMOVPS(xs.at(i, 0), weights, v)
		}
		for j := range width {
			maskOf(k, weights) // it gave way to the weights: no register is left
			VMASKMOVPS(ws.at(j, 0), weights, weights)
			for i, v := range values {
				VFMADD231PS(v, weights, acc[i*width+j])
			}
		}
		Label(done)
		at := rows{base: out, stride: ldo}
		for i := range m {
			row := acc[i*width:][:width]
			if width == 1 {
				VMOVSS(sum1(row[0]).AsX(), at.at(i, 0))
				continue
			}
			for j := 0; j < width; j += 4 {
				VMOVUPS(sum4(row[j:]).AsX(), at.at(i, 4*j))
			}
		}
		at.advance(4 * width)
	}
	// tiles walks over the rows of w by width while as many are left.
	tiles := func(width int) {
		top, end := label("tiles"), label("end")
		Label(top)
		CMPQ(n, U32(width))
		JL(LabelRef(end))
		tile(width)
		switch width {
		case 1:
			ADDQ(w.stride, w.base)
		default:
			LEAQ(Mem{Base: w.base, Index: w.stride, Scale: 4}, w.base)
			if width == 8 {
				LEAQ(Mem{Base: w.base, Index: w.stride, Scale: 4}, w.base)
			}
		}
		SUBQ(U32(width), n)
		JMP(LabelRef(top))
		Label(end)
	}
	if m == 1 {
		tiles(8) // one row needs as many sums in flight
	}
	tiles(4)
	tiles(1)
	finish()
}

// accumulateAVX2 adds m weighted sums of the rows of v.
func accumulateAVX2(m int) {
	function(fmt.Sprintf("accumulate%dAVX2", m), "func(acc *float32, lda int, p *float32, ldp int, v *float32, ldv int, n int, dim int)")
	Doc(fmt.Sprintf("accumulate%dAVX2 is Accumulate for m = %d.", m, m))
	acc := rows{base: param("acc"), stride: bytes(param("lda"))}
	p := rows{base: param("p"), stride: bytes(param("ldp"))}
	v, ldv := param("v"), bytes(param("ldv"))
	n, dim := param("n"), param("dim")

	// columns handles the next width vectors of columns, or the lanes of mask.
	columns := func(width int, mask reg.VecVirtual) {
		sums := make([]reg.VecVirtual, m*width)
		for i := range sums {
			sums[i] = YMM()
			at := acc.at(i/width, i%width*32)
			if mask == nil {
				VMOVUPS(at, sums[i])
			} else {
				VMASKMOVPS(at, mask, sums[i])
			}
		}
		ps, vs := p, copyOf(v)
		ps.base = copyOf(p.base)
		weights, values := make([]reg.VecVirtual, m), YMM()
		for i := range weights {
			weights[i] = YMM()
		}
		loop(copyOf(n), func() {
			for i, weight := range weights {
				VBROADCASTSS(ps.at(i, 0), weight)
			}
			for c := range width {
				at := Mem{Base: vs, Disp: c * 32}
				switch {
				case mask != nil:
					VMASKMOVPS(at, mask, values)
				case m == 1:
					VFMADD231PS(at, weights[0], sums[c])
					continue
				default:
					VMOVUPS(at, values)
				}
				for i, weight := range weights {
					VFMADD231PS(weight, values, sums[i*width+c])
				}
			}
			ps.advance(4)
			ADDQ(ldv, vs)
		})
		for i, s := range sums {
			at := acc.at(i/width, i%width*32)
			if mask == nil {
				VMOVUPS(s, at)
			} else {
				VMASKMOVPS(s, mask, at)
			}
		}
		acc.advance(32 * width)
		ADDQ(U32(32*width), v)
		SUBQ(U32(8*width), dim)
	}
	widths := []int{4, 1}
	if m == 1 {
		widths = []int{8, 1} // as many sums in flight
	}
	for _, width := range widths {
		top, end := label("columns"), label("end")
		Label(top)
		CMPQ(dim, U32(8*width))
		JL(LabelRef(end))
		columns(width, nil)
		JMP(LabelRef(top))
		Label(end)
	}
	end := label("end")
	TESTQ(dim, dim)
	JZ(LabelRef(end))
	mask := YMM()
	maskOf(dim, mask)
	columns(1, mask)
	Label(end)
	finish()
}
