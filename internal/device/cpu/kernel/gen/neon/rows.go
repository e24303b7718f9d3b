package main

import (
	"fmt"
	"math"
	"strings"
)

// The exponential is 2^n·e^r with n = round(x·log₂e) and a polynomial for e^r,
// |r| ≤ ln2/2 (coefficients of Cephes' expf; error under 1 ulp). Below expLow
// the result is 0; above the range of f32 it is +Inf. Vectors take the constants
// in this order.
const (
	expHigh = iota
	expLow
	roundUp // adding it rounds to an integer, which stands in the low bits
	log2e
	ln2High
	ln2Low
	firstTerm
	lastTerm = firstTerm + 5
	one      = lastTerm + 1
	halfBias = one + 1
)

func expConstants() []uint32 {
	var words []uint32
	for _, v := range []float32{89, -86.9, 0x1.8p23, math.Log2E, 0.693359375, -2.12194440e-4,
		1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1} {
		words = append(words, math.Float32bits(v))
	}
	return append(words, 126<<23)
}

// exponential returns a macro that replaces x with its exponential.
func exponential() (exp func(x vec), constants []vec) {
	from := newGP()
	ins("MOVD", "$exponential<>(SB)", from)
	for range expConstants() {
		v := newVec()
		broadcast(from, 4, v)
		constants = append(constants, v)
	}
	c := constants
	return func(x vec) {
		scope(func() {
			bounded, n, r, y := newVec(), newVec(), newVec(), newVec()
			macro("FMIN4S", c[expHigh], x, bounded)
			macro("FMAX4S", c[expLow], bounded, bounded)
			move(c[roundUp], n)
			fma(c[log2e], bounded, n)
			macro("FSUB4S", c[roundUp], n, r)
			ins("VFMLS", c[ln2High].s4(), r.s4(), bounded.s4())
			ins("VFMLS", c[ln2Low].s4(), r.s4(), bounded.s4())
			move(c[firstTerm], y)
			for _, term := range c[firstTerm+1 : lastTerm+1] {
				move(term, r)
				fma(bounded, y, r)
				y, r = r, y
			}
			macro("FMUL4S", bounded, bounded, r)
			macro("FADD4S", c[one], bounded, bounded)
			fma(r, y, bounded)
			// 2^n may be out of range where the result is not: 2y · 2^(n-1).
			macro("FADD4S", bounded, bounded, y)
			ins("VSHL", imm(23), n.s4(), n.s4())
			ins("VADD", c[halfBias].s4(), n.s4(), n.s4())
			macro("FMUL4S", n, y, y)
			macro("FCMGT4S", x, c[expLow], n) // where x is no number, this is not so
			macro("BIC16B", n, y, x)
		})
	}, constants
}

func move(from, to vec) { ins("VMOV", from.b16(), to.b16()) }

// expTable writes the constants.
func expTable() {
	var b strings.Builder
	words := expConstants()
	for i, w := range words {
		fmt.Fprintf(&b, "DATA exponential<>+%d(SB)/4, $%#08x\n", 4*i, w)
	}
	fmt.Fprintf(&code, "\n%sGLOBL exponential<>(SB), RODATA|NOPTR, $%d\n", b.String(), 4*len(words))
}

// piece loads and stores what the functions of eachVector are at: four elements,
// or a single one.
type piece struct{ single bool }

func (p piece) bytes() int {
	if p.single {
		return 4
	}
	return 16
}

// load puts a single element into all lanes.
func (p piece) load(from gp, v vec) {
	if p.single {
		broadcast(from, 0, v)
	} else {
		ins("FMOVQ", mem(from, 0), v)
	}
}

// loadNext is load and moves on.
func (p piece) loadNext(from gp, v vec) {
	p.load(from, v)
	add(p.bytes(), from)
}

// storeNext stores and moves on.
func (p piece) storeNext(v vec, to gp) {
	if p.single {
		ins("FMOVS.P", v, mem(to, 4))
	} else {
		ins("FMOVQ.P", v, mem(to, 16))
	}
}

// eachVector runs body for whole vectors of n elements and then for each one that
// is left. body moves on.
func eachVector(n gp, body func(p piece)) {
	scope(func() {
		loop(shifted(n, 2), func() { body(piece{}) })
		rest := newGP()
		ins("AND", imm(3), n, rest)
		loop(rest, func() { body(piece{single: true}) })
	})
}

func softmax() {
	expTable()
	function("softmaxNEON", "(s *float32, n int, scale float32, max float32) (newMax float32, sum float32)", "is Softmax.", 0)
	scores, n := param("s"), param("n")
	factor, top := broadcastParam("scale"), broadcastParam("max")
	infinity, highest := newGP(), newVec()
	ins("MOVD", "$0xff800000", infinity)
	ins("VDUP", infinity, highest.s4())
	scope(func() {
		from, v := copyOf(scores), newVec()
		eachVector(n, func(p piece) {
			p.loadNext(from, v)
			macro("FMAX4S", v, highest, highest)
		})
	})
	macro("FMAXV4S", highest, highest)
	ins("FMULS", factor, highest, highest)
	ins("FMAXS", highest, top, top)
	returnFloat(top, "newMax")

	none := label("none")
	bits := newGP()
	ins("FMOVS", top, bits)
	ins("CMPW", infinity, bits)
	ins("BEQ", none)
	ins("VDUP", top.as("S[0]"), top.s4())
	// Those of the single elements are the same in all lanes.
	sum, rest := newVec(), newVec()
	zero(sum)
	zero(rest)
	scope(func() {
		exp, _ := exponential()
		at, v := copyOf(scores), newVec()
		eachVector(n, func(p piece) {
			p.load(at, v)
			macro("FMUL4S", factor, v, v)
			macro("FSUB4S", top, v, v)
			exp(v)
			p.storeNext(v, at)
			if p.single {
				macro("FADD4S", v, rest, rest)
			} else {
				macro("FADD4S", v, sum, sum)
			}
		})
	})
	macro("FADDP4S", sum, sum, sum)
	macro("FADDP4S", sum, sum, sum)
	ins("FADDS", rest, sum, sum)
	returnFloat(sum, "sum")
	ret()

	here(none)
	zero(sum)
	eachVector(n, func(p piece) { p.storeNext(sum, scores) })
	returnFloat(sum, "sum")
	ret()
}

func swiGLU() {
	function("swiGLUNEON", "(gate *float32, up *float32, n int)", "is SwiGLU.", 0)
	gate, up, n := param("gate"), param("up"), param("n")
	exp, constants := exponential()
	g, e, u := newVec(), newVec(), newVec()
	eachVector(n, func(p piece) {
		p.load(gate, g)
		macro("FNEG4S", g, e)
		exp(e)
		macro("FADD4S", constants[one], e, e)
		macro("FDIV4S", e, g, g)
		p.loadNext(up, u)
		macro("FMUL4S", u, g, g)
		p.storeNext(g, gate)
	})
	ret()
}

// rmsNorm sums squares in four vectors, those behind the last four in the first.
func rmsNorm() {
	function("rmsNormNEON", "(dst *float32, x *float32, w *float32, n int, eps float32)", "is RMSNorm.", 0)
	dst, x, w, n := param("dst"), param("x"), param("w"), param("n")
	squares := zeros(4)
	scope(func() {
		from, v := copyOf(x), vectors(4)
		loop(shifted(n, 4), func() {
			ins("VLD1.P", mem(from, 64), fmt.Sprintf("[%s, %s, %s, %s]", v[0].s4(), v[1].s4(), v[2].s4(), v[3].s4()))
			for i, sum := range squares {
				fma(v[i], v[i], sum)
			}
		})
		rest := newGP()
		ins("AND", imm(15), n, rest)
		eachVector(rest, func(p piece) {
			if p.single { // the other lanes become zeros
				ins("FMOVS.P", mem(from, 4), v[0])
			} else {
				ins("FMOVQ.P", mem(from, 16), v[0])
			}
			fma(v[0], v[0], squares[0])
		})
	})
	r := squares[0]
	macro("FADD4S", squares[1], squares[0], squares[0])
	macro("FADD4S", squares[3], squares[2], squares[2])
	macro("FADD4S", squares[2], r, r)
	macro("FADDP4S", r, r, r)
	macro("FADDP4S", r, r, r)
	scalar := newVec()
	ins("SCVTFS", n, scalar)
	ins("FDIVS", scalar, r, r)
	ins("FMOVS", arguments["eps"], scalar)
	ins("FADDS", scalar, r, r)
	ins("FSQRTS", r, r)
	ins("FMOVS", "$1.0", scalar)
	ins("FDIVS", r, scalar, r)
	ins("VDUP", r.as("S[0]"), r.s4())
	v, weights := newVec(), newVec()
	eachVector(n, func(p piece) {
		p.loadNext(x, v)
		macro("FMUL4S", r, v, v)
		p.loadNext(w, weights)
		macro("FMUL4S", weights, v, v)
		p.storeNext(v, dst)
	})
	ret()
}

func scale() {
	function("scaleNEON", "(x *float32, n int, a float32)", "is Scale.", 0)
	x, n, a := param("x"), param("n"), broadcastParam("a")
	v := newVec()
	eachVector(n, func(p piece) {
		p.load(x, v)
		macro("FMUL4S", a, v, v)
		p.storeNext(v, x)
	})
	ret()
}

func addRows() {
	function("addNEON", "(x *float32, y *float32, n int)", "is Add.", 0)
	x, y, n := param("x"), param("y"), param("n")
	v, w := newVec(), newVec()
	eachVector(n, func(p piece) {
		p.load(x, v)
		p.loadNext(y, w)
		macro("FADD4S", w, v, v)
		p.storeNext(v, x)
	})
	ret()
}

// The functions below handle whole vectors only; the rest costs the same bits in
// Go.

func rotate() {
	function("rotateNEON", "(x *float32, cos *float32, sin *float32, vectors int)", "is Rotate for vectors of 4 pairs.", 0)
	x, cos, sin, steps := param("x"), param("cos"), param("sin"), param("vectors")
	loop(steps, func() {
		// Loads and stores of pairs need neighbouring registers.
		v, r := vectors(2), vectors(2)
		c, s, t := newVec(), newVec(), newVec()
		both := func(v []vec) string { return fmt.Sprintf("[%s, %s]", v[0].s4(), v[1].s4()) }
		ins("VLD2", mem(x, 0), both(v))
		ins("FMOVQ.P", mem(cos, 16), c)
		ins("FMOVQ.P", mem(sin, 16), s)
		macro("FMUL4S", c, v[0], r[0])
		macro("FMUL4S", s, v[1], t)
		macro("FSUB4S", t, r[0], r[0])
		macro("FMUL4S", s, v[0], r[1])
		macro("FMUL4S", c, v[1], t)
		macro("FADD4S", t, r[1], r[1])
		ins("VST2.P", both(r), mem(x, 32))
	})
	ret()
}

func toHalf() {
	function("toHalfNEON", "(dst *uint16, src *float32, vectors int)", "is ToHalf for vectors of 8.", 0)
	dst, src, steps := param("dst"), param("src"), param("vectors")
	loop(steps, func() {
		v, h := vectors(2), newVec()
		ins("FLDPQ.P", mem(src, 32), pair(v[0], v[1]))
		macro("FCVTN", v[0], h)
		macro("FCVTN2", v[1], h)
		ins("FMOVQ.P", h, mem(dst, 16))
	})
	ret()
}

func fromHalf() {
	function("fromHalfNEON", "(dst *float32, src *uint16, vectors int)", "is FromHalf for vectors of 8.", 0)
	dst, src, steps := param("dst"), param("src"), param("vectors")
	loop(steps, func() {
		v, h := vectors(2), newVec()
		ins("FMOVQ.P", mem(src, 16), h)
		macro("FCVTL", h, v[0])
		macro("FCVTL2", h, v[1])
		ins("FSTPQ.P", pair(v[0], v[1]), mem(dst, 32))
	})
	ret()
}

func peak() {
	function("peakNEON", "(steps int)", "runs steps of 24 independent FMA: the peak that the others are measured by.", 0)
	steps := param("steps")
	acc, v := zeros(24), zeros(1)[0]
	loop(steps, func() {
		for _, a := range acc {
			fma(v, v, a)
		}
	})
	ret()
}
