package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// int16Rows addresses rows of codes, three from a base.
type int16Rows struct {
	bases  []reg.GPVirtual
	stride reg.GPVirtual
}

// rowsFrom returns m rows that are stride bytes apart.
func rowsFrom(first reg.GPVirtual, m int, stride reg.GPVirtual) int16Rows {
	w := int16Rows{[]reg.GPVirtual{copyOf(first)}, stride}
	for len(w.bases) < (m+2)/3 {
		next := GP64()
		LEAQ(Mem{Base: w.bases[len(w.bases)-1], Index: stride, Scale: 2}, next)
		ADDQ(stride, next)
		w.bases = append(w.bases, next)
	}
	return w
}

func (w int16Rows) at(r, disp int) Mem {
	m := Mem{Base: w.bases[r/3], Disp: disp}
	if r%3 > 0 {
		m.Index, m.Scale = w.stride, uint8(r%3)
	}
	return m
}

// right moves by n bytes within the rows.
func (w int16Rows) right(n int) {
	for _, base := range w.bases {
		ADDQ(imm(n), base)
	}
}

// int16Products are sums of products of neighbouring pairs of 16 bits. Columns of a block
// lie in groups of groupColumns, whose pairs follow each other.
type int16Products struct {
	*isa
	name string // ends the names of the functions
	// dot adds the products of pairs in a and b to sum.
	dot func(a, b, sum reg.VecVirtual)
	// groups is how many groups of columns are multiplied at once, and chains how many
	// sums must be under way for none to wait for its last.
	groups, chains int
}

const groupColumns = 16

var int16AVX2 = int16Products{avx2, "AVX2", func(a, b, sum reg.VecVirtual) {
	t := YMM()
	VPMADDWD(a, b, t)
	VPADDD(t, sum, sum)
}, 1, 1}

var (
	int16VNNI = int16Products{avx512, "VNNI", vpdpwssd, 2, 12}
	// int16OneVNNI handles a group, and int16NarrowVNNI half of one.
	int16OneVNNI    = int16Products{avx512, "VNNI", vpdpwssd, 1, 12}
	int16NarrowVNNI = int16Products{avx2, "VNNI", vpdpwssd, 1, 12}
)

// heights are the numbers of rows that there are tiles for.
func (s int16Products) heights() []int {
	if s.groups == 1 {
		return []int{1, 2, 3, 4, 5, 6}
	}
	return []int{1, 2, 3, 4, 5, 6, 12}
}

// tile returns the sums of m rows of codes and width vectors of columns, and moves b and
// next behind them: vectors of one group, or half of one, follow each other, those of
// several groups are apart bytes from each other.
func (s int16Products) tile(m, width int, a, lda, b, next, apart reg.GPVirtual, pairs string) []reg.VecVirtual {
	turns := 1 // sums of an output
	if s.chains >= 2*m*width {
		turns = 2
	}
	sums := s.zero(turns * m * width)
	as, steps := rowsFrom(a, m, lda), param(pairs)
	columns, row := s.vectors(width), s.vec()
	step := width * s.bytes()
	if s.groups > 1 {
		step = s.bytes()
	}
	// at is where a vector of a pair stands behind b or next.
	at := func(base reg.GPVirtual, pair, v int) Mem {
		if s.groups == 1 {
			return Mem{Base: base, Disp: pair*step + v*s.bytes()}
		}
		m := Mem{Base: base, Disp: pair * step}
		if v > 0 {
			m.Index, m.Scale = apart, 1
		}
		return m
	}
	several := func(pairs int) {
		for pair := range pairs {
			for v, column := range columns {
				VMOVUPS(at(b, pair, v), column)
				if at := at(next, pair, v); at.Disp%64 == 0 {
					PREFETCHT0(at)
				}
			}
			for i := range m {
				VPBROADCASTD(as.at(i, 4*pair), row)
				for v, column := range columns {
					s.dot(column, row, sums[(pair%turns*m+i)*width+v])
				}
			}
		}
		as.right(4 * pairs)
		ADDQ(imm(pairs*step), b)
		ADDQ(imm(pairs*step), next)
	}
	while(steps, 4, func() { several(4) })
	loop(steps, func() { several(1) })
	if s.groups > 1 {
		ADDQ(apart, b)
		ADDQ(apart, next)
	}
	for i, other := range sums[m*width:] {
		VPADDD(other, sums[i], sums[i])
	}
	return sums[:m*width]
}

// finishTile turns the sums of a tile to f32, lets each be finished with its row's scale
// and the columns' offset in bytes, and stores it to out, whose rows are ldo apart.
func (s int16Products) finishTile(sums []reg.VecVirtual, m, width int, out, ldo reg.GPVirtual, with func(sum, scale reg.VecVirtual, to Mem, column int)) {
	to, scales, scale := copyOf(out), param("scales"), s.vec()
	for i := range m {
		VBROADCASTSS(Mem{Base: scales, Disp: 4 * i}, scale)
		for c := range width {
			sum, at := sums[i*width+c], Mem{Base: to, Disp: c * s.bytes()}
			VCVTDQ2PS(sum, sum)
			with(sum, scale, at, c*s.bytes())
			VMOVUPS(sum, at)
		}
		if i+1 < m {
			ADDQ(ldo, to)
		}
	}
}

// codes16 returns a stride of codes in bytes.
func codes16(name string) reg.GPVirtual {
	r := param(name)
	ADDQ(r, r)
	return r
}

func (s int16Products) scores(m int) {
	function(fmt.Sprintf("scoresInt16%d%s", m, s.name),
		"out *float32, ldo int, q *int16, ldq int, scales *float32, keys *int16, keyScales *float32, pairs int, next *int16)",
		fmt.Sprintf("is ScoresInt16 for m = %d.", m))
	columns := s.groups * groupColumns
	out, ldo, q, ldq := param("out"), bytes(param("ldo")), param("q"), codes16("ldq")
	keys, keyScales, next := param("keys"), param("keyScales"), param("next")
	var apart reg.GPVirtual
	if s.groups > 1 {
		apart = param("pairs")
		SHLQ(U8(6), apart)
	}
	for range blockKeys / columns {
		width := columns / s.lanes
		sums := s.tile(m, width, q, ldq, keys, next, apart, "pairs")
		s.finishTile(sums, m, width, out, ldo, func(sum, scale reg.VecVirtual, _ Mem, column int) {
			VMULPS(Mem{Base: keyScales, Disp: column}, sum, sum)
			VMULPS(scale, sum, sum)
		})
		ADDQ(imm(4*columns), out)
		ADDQ(imm(4*columns), keyScales)
	}
	fetchScales(next)
	finish()
}

// outputs takes what is left behind whole groups from rest.
func (s int16Products) outputs(m int, rest ...int16Products) {
	function(fmt.Sprintf("outputsInt16%d%s", m, s.name),
		"acc *float32, lda int, p *int16, ldp int, scales *float32, values *int16, pairs int, dim int, next *int16)",
		fmt.Sprintf("is OutputsInt16 for m = %d.", m))
	acc, lda, p, ldp := param("acc"), bytes(param("lda")), param("p"), codes16("ldp")
	values, dim, next := param("values"), param("dim"), param("next")
	group := func(s int16Products, columns int) {
		width, from := columns/s.lanes, copyOf(values)
		var apart reg.GPVirtual
		if s.groups > 1 {
			apart = GP64()
			MOVQ(imm(2*blockKeys*groupColumns), apart)
		}
		sums := s.tile(m, width, p, ldp, from, next, apart, "pairs")
		s.finishTile(sums, m, width, acc, lda, func(sum, scale reg.VecVirtual, to Mem, _ int) {
			VMULPS(scale, sum, sum)
			VADDPS(to, sum, sum)
		})
		ADDQ(imm(4*columns), acc)
		ADDQ(imm(2*blockKeys*columns), values) // a block has room for all pairs
	}
	whole := s.groups * groupColumns
	while(dim, whole, func() { group(s, whole) })
	for _, s := range rest {
		while(dim, s.lanes, func() { group(s, s.lanes) })
	}
	fetchScales(next)
	finish()
}

// fetchScales prefetches what stands behind the codes of keys: their scales and those of
// the values.
func fetchScales(next reg.GPVirtual) {
	for at := 0; at < 2*4*blockKeys; at += 64 {
		PREFETCHT0(Mem{Base: next, Disp: at})
	}
}

// code16AVX2 rounds rows to codes.
func code16AVX2() {
	function("code16AVX2", "codes *int16, ldc int, scales *float32, x *float32, ldx int, m int, n int, reciprocal float32)", "is Code16.")
	codes, ldc, scales := param("codes"), codes16("ldc"), param("scales")
	x, ldx, m, n := param("x"), bytes(param("ldx")), param("m"), param("n")
	magnitude, reciprocal, one := YMM(), XMM(), XMM()
	VMOVUPS(constant(0x7fffffff), magnitude)
	VMOVSS(address(Param("reciprocal")), reciprocal)
	VMOVSS(float(1), one)
	loop(m, func() {
		top, v := YMM(), YMM()
		VPXOR(top, top, top)
		avx2.eachVector(n, func(at reg.GPVirtual, k mask) {
			load(index(x, at), k, v)
			VPAND(magnitude, v, v)
			VPMAXUD(v, top, top)
		})
		most := highestBits(top)
		scale, inverse, half, bits := XMM(), YMM(), XMM(), GP32()
		VMULSS(reciprocal, most, scale)
		VMOVD(most, bits)
		none, ready := label("none"), label("ready")
		CMPL(bits, U32(0x7f800000))
		JAE(LabelRef(none))
		VMOVD(scale, bits)
		CMPL(bits, U32(0x00800000))
		JB(LabelRef(none))
		VDIVSS(scale, one, inverse.AsX())
		VBROADCASTSS(inverse.AsX(), inverse)
		keep := func(at reg.GPVirtual) {
			to := copyOf(at)
			SHRQ(U8(1), to)
			VMOVDQU(half, index(codes, to))
		}
		avx2.eachVector(n, func(at reg.GPVirtual, k mask) {
			load(index(x, at), k, v)
			VMULPS(inverse, v, v)
			VCVTPS2DQ(v, v)
			VEXTRACTI128(U8(1), v, half)
			VPACKSSDW(half, v.AsX(), half)
			keep(at)
		})
		JMP(LabelRef(ready))

		Label(none)
		VPXOR(half, half, half)
		avx2.eachVector(n, func(at reg.GPVirtual, _ mask) { keep(at) })
		VXORPS(scale, scale, scale)
		CMPL(bits, U32(0x7f800000))
		JB(LabelRef(ready))
		VMOVSS(constant(0x7fc00000), scale) // no number

		Label(ready)
		VMOVSS(scale, Mem{Base: scales})
		ADDQ(imm(4), scales)
		ADDQ(ldc, codes)
		ADDQ(ldx, x)
	})
	finish()
}

// highestBits returns the greatest lane of v by its bits.
func highestBits(v reg.VecVirtual) reg.VecVirtual {
	return fold(v, func(a, b Op) { VPMAXUD(a, b, b) })
}

// mostWeight is that of the kernel package.
const mostWeight = 16383

// exp2Terms is the polynomial of fourth degree that comes nearest to 2^r, |r| ≤ 1/2: a
// relative error of 2.6·10⁻⁶.
var exp2Terms = []float64{9.57010191e-3, 5.59178603e-2, 2.40247448e-1, 6.93121815e-1, 9.99999261e-1}

// exp2Least is the least exponent of exp2: lower ones become it.
const exp2Least = -125

// exp2 replaces some vectors with powers of two, step by step for all of them.
func exp2(xs ...reg.VecVirtual) {
	n, r, c := avx2.vectors(len(xs)), avx2.vectors(len(xs)), YMM()
	each := func(f float64, do func(x, n, r reg.VecVirtual)) {
		VMOVUPS(float(f), c)
		for i, x := range xs {
			do(x, n[i], r[i])
		}
	}
	// Where x is not a number, VMAXPS returns its second source, avo's first: x.
	each(exp2Least, func(x, _, _ reg.VecVirtual) { VMAXPS(x, c, x) })
	each(roundUp, func(x, n, r reg.VecVirtual) {
		VADDPS(c, x, n)
		VSUBPS(c, n, r)
		VSUBPS(r, x, r)
		VPSLLD(U8(23), n, n)
	})
	each(exp2Terms[0], func(x, _, _ reg.VecVirtual) { VMOVAPS(c, x) })
	for _, term := range exp2Terms[1:] {
		each(term, func(x, _, r reg.VecVirtual) { VFMADD213PS(c, r, x) })
	}
	for i, x := range xs {
		VPADDD(n[i], x, x)
	}
}

// weightsInt16AVX2 takes four vectors, a block, at a time.
func weightsInt16AVX2() {
	function("weightsInt16AVX2", "p *int16, ldp int, scales *float32, ldScales int, s *float32, lds int, m int, blocks int, factor float32, by *float32, max *float32, sum *float32, acc *float32, dim int)",
		"is WeightsInt16; strides are in bytes.")
	const vectors = blockKeys / 8
	p, scales, s, m := param("p"), param("scales"), param("s"), param("m")
	max, sum, acc := param("max"), param("sum"), param("acc")
	factor := YMM()
	VBROADCASTSS(address(Param("factor")), factor)
	loop(m, func() {
		from, top := copyOf(s), XMM()
		most := avx2.vectors(vectors)
		for _, v := range most {
			VMOVUPS(constant(minusInf), v)
		}
		loop(param("blocks"), func() {
			for i, v := range most {
				VMAXPS(Mem{Base: from, Disp: 32 * i}, v, v)
			}
			ADDQ(imm(4*blockKeys), from)
		})
		VMAXPS(most[1], most[0], most[0])
		VMAXPS(most[3], most[2], most[2])
		VMAXPS(most[2], most[0], most[0])
		best := maxOfY(most[0])
		VMULSS(factor.AsX(), best, best)
		VMAXSS(Mem{Base: max}, best, top)

		same, bits := label("same"), GP32()
		VMOVD(top, bits)
		CMPL(bits, Mem{Base: max})
		JEQ(LabelRef(same))
		decay, v := YMM(), YMM()
		VMOVSS(Mem{Base: max}, decay.AsX())
		VSUBSS(top, decay.AsX(), decay.AsX())
		VBROADCASTSS(decay.AsX(), decay)
		exp2(decay)
		VMOVSS(top, Mem{Base: max})
		VMULSS(Mem{Base: sum}, decay.AsX(), v.AsX())
		VMOVSS(v.AsX(), Mem{Base: sum})
		avx2.eachVector(param("dim"), func(at reg.GPVirtual, k mask) {
			load(index(acc, at), k, v)
			VMULPS(decay, v, v)
			store(v, k, index(acc, at))
		})
		Label(same)

		shift, total := YMM(), avx2.zero(1)[0]
		VBROADCASTSS(top, shift)
		next, to, by, scaleTo := copyOf(s), copyOf(p), param("by"), copyOf(scales)
		loop(param("blocks"), func() {
			weights := avx2.vectors(vectors)
			for i, w := range weights {
				VMOVUPS(Mem{Base: next, Disp: 32 * i}, w)
				VFMSUB213PS(shift, factor, w)
			}
			exp2(weights...)
			for i, w := range weights {
				VADDPS(w, total, total)
				VMULPS(Mem{Base: by, Disp: 32 * i}, w, w)
			}
			low, high := YMM(), YMM()
			VPMAXUD(weights[1], weights[0], low)
			VPMAXUD(weights[3], weights[2], high)
			VPMAXUD(high, low, low)
			scale, inverse := highestBits(low), YMM()
			VMULSS(float(1.0/mostWeight), scale, scale)
			// What is below the normal numbers becomes the least of them; no number stays one.
			least := XMM()
			VMOVSS(constant(1<<23), least)
			VMAXSS(scale, least, scale)
			VMOVSS(scale, Mem{Base: scaleTo})
			VMOVSS(float(1), inverse.AsX())
			VDIVSS(scale, inverse.AsX(), inverse.AsX())
			VBROADCASTSS(inverse.AsX(), inverse)
			for _, w := range weights {
				VMULPS(inverse, w, w)
				VCVTPS2DQ(w, w)
			}
			for i := 0; i < vectors; i += 2 {
				VPACKSSDW(weights[i+1], weights[i], weights[i])
				VPERMQ(U8(0xd8), weights[i], weights[i])
				VMOVDQU(weights[i], Mem{Base: to, Disp: 16 * i})
			}
			ADDQ(imm(4*blockKeys), next)
			ADDQ(imm(4*blockKeys), by)
			ADDQ(imm(2*blockKeys), to)
			ADDQ(address(Param("ldScales")), scaleTo)
		})
		added := avx2.sum(total).AsX()
		VADDSS(Mem{Base: sum}, added, added)
		VMOVSS(added, Mem{Base: sum})
		ADDQ(imm(4), scales)
		ADDQ(imm(4), max)
		ADDQ(imm(4), sum)
		ADDQ(address(Param("ldp")), p)
		ADDQ(address(Param("lds")), s)
		LEAQ(Mem{Base: acc, Index: param("dim"), Scale: 4}, acc)
	})
	finish()
}
