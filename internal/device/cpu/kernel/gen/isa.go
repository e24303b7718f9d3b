package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is what the kernels need to know of an instruction set.
type isa struct {
	name  string // ends the names of the functions
	lanes int    // f32 in a vector
	tall  int    // rows of x in the tallest tile of MatMul and Accumulate
	vec   func() reg.VecVirtual
	// mask returns the lanes below count mod lanes.
	mask func(count reg.Register) mask
	// loadTail loads those lanes of m into v and zeros the others.
	loadTail func(count reg.Register, m Mem, v reg.VecVirtual)
	// sum folds the lanes of a vector into one number.
	sum func(v reg.VecVirtual) reg.VecVirtual
	// storeSums folds the lanes of each vector in the order of sum and stores
	// four sums a row.
	storeSums func(acc [][]reg.VecVirtual, at func(r int) Mem)
}

func (s *isa) bytes() int { return 4 * s.lanes }

// shift is the binary logarithm of lanes.
func (s *isa) shift() uint8 { return map[int]uint8{8: 3, 16: 4}[s.lanes] }

// vectors returns n registers.
func (s *isa) vectors(n int) []reg.VecVirtual {
	v := make([]reg.VecVirtual, n)
	for i := range v {
		v[i] = s.vec()
	}
	return v
}

// zero returns n vectors of zeros.
func (s *isa) zero(n int) []reg.VecVirtual {
	zeros := s.vectors(n)
	for _, v := range zeros {
		VXORPS(v, v, v)
	}
	return zeros
}

// mask selects the lanes of the last, partial vector.
type mask interface {
	load(m Mem, v reg.VecVirtual)
	store(v reg.VecVirtual, m Mem)
}

func load(m Mem, k mask, v reg.VecVirtual) {
	if k == nil {
		VMOVUPS(m, v)
	} else {
		k.load(m, v)
	}
}

func store(v reg.VecVirtual, k mask, m Mem) {
	if k == nil {
		VMOVUPS(v, m)
	} else {
		k.store(v, m)
	}
}

// avx2 is AVX2 with FMA and F16C: vectors of 8 lanes, 16 registers.
var avx2 = &isa{
	name:  "AVX2",
	lanes: 8,
	tall:  3,
	vec:   func() reg.VecVirtual { return YMM() },
	mask: func(count reg.Register) mask {
		v := YMM()
		avx2Lanes(count, v)
		return avx2Mask{v}
	},
	loadTail: func(count reg.Register, m Mem, v reg.VecVirtual) {
		avx2Lanes(count, v) // the mask gives way to the values: no register is left
		VMASKMOVPS(m, v, v)
	},
	sum: func(v reg.VecVirtual) reg.VecVirtual {
		foldPairs(v, YMM())
		return addHalves(v)
	},
	storeSums: func(acc [][]reg.VecVirtual, at func(r int) Mem) {
		for i, row := range acc {
			VMOVUPS(addHalves(fold4(row, YMM())).AsX(), at(i))
		}
	},
}

// avx2Lanes sets v to the mask of the lanes below count mod 8.
func avx2Lanes(count reg.Register, v reg.VecVirtual) {
	table := vector("tail", func(i int) uint32 {
		if i < 8 {
			return math.MaxUint32
		}
		return 0
	})
	at, base := GP64(), GP64()
	MOVQ(count, at)
	ANDQ(U32(7), at)
	NEGQ(at)
	LEAQ(table.Offset(32), base)
	VMOVDQU(Mem{Base: base, Index: at, Scale: 4}, v)
}

type avx2Mask struct{ lanes reg.VecVirtual }

func (k avx2Mask) load(m Mem, v reg.VecVirtual)  { VMASKMOVPS(m, k.lanes, v) }
func (k avx2Mask) store(v reg.VecVirtual, m Mem) { VMASKMOVPS(v, k.lanes, m) }

// keep zeros the other lanes of v.
func (k avx2Mask) keep(v reg.VecVirtual) { VANDPS(k.lanes, v, v) }

// fill sets the other lanes of v to those of w.
func (k avx2Mask) fill(v, w reg.VecVirtual) { VBLENDVPS(k.lanes, v, w, v) }

// avx512 is AVX-512 F, BW, VL and DQ: vectors of 16 lanes, 32 registers.
var avx512 = &isa{
	name:  "AVX512",
	lanes: 16,
	tall:  4,
	vec:   func() reg.VecVirtual { return ZMM() },
	mask: func(count reg.Register) mask {
		return avx512Mask{avx512Lanes(count)}
	},
	loadTail: func(count reg.Register, m Mem, v reg.VecVirtual) {
		VMOVUPS_Z(m, avx512Lanes(count), v)
	},
	sum: func(v reg.VecVirtual) reg.VecVirtual {
		foldPairs(v, ZMM())
		high := YMM()
		VEXTRACTF64X4(U8(1), v, high)
		VADDPS(high, v.AsY(), high)
		return addHalves(high)
	},
	storeSums: func(acc [][]reg.VecVirtual, at func(r int) Mem) {
		// Each row becomes one vector whose four quarters q0 … q3 hold four
		// partial sums each; then the quarters of four rows are brought together,
		// (q0+q2) + (q1+q3), a row a quarter. Missing rows repeat the last.
		t, folded := ZMM(), make([]reg.VecVirtual, 4)
		for i := range folded {
			if i < len(acc) {
				folded[i] = fold4(acc[i], t)
			} else {
				folded[i] = folded[i-1]
			}
		}
		join := func(a, b reg.VecVirtual, first, second uint8) reg.VecVirtual {
			sum := ZMM()
			VSHUFF32X4(U8(first), b, a, t)
			VSHUFF32X4(U8(second), b, a, sum)
			VADDPS(sum, t, sum)
			return sum
		}
		const q01, q23, q02, q13 = 0b01_00_01_00, 0b11_10_11_10, 0b10_00_10_00, 0b11_01_11_01
		low := join(folded[0], folded[1], q01, q23)
		high := low
		if len(acc) > 2 {
			high = join(folded[2], folded[3], q01, q23)
		}
		sums := join(low, high, q02, q13)
		VMOVUPS(sums.AsX(), at(0))
		for i := 1; i < len(acc); i++ {
			VEXTRACTF32X4(U8(uint8(i)), sums, at(i))
		}
	},
}

// avx512Lanes returns the mask of the lanes below count mod 16.
func avx512Lanes(count reg.Register) reg.OpmaskVirtual {
	n, bits, k := GP32(), GP32(), K()
	MOVL(count.(reg.GP).As32(), n)
	ANDL(U32(15), n)
	MOVL(U32(0xffff), bits)
	BZHIL(n, bits, bits)
	KMOVW(bits, k)
	return k
}

type avx512Mask struct{ lanes reg.OpmaskVirtual }

func (k avx512Mask) load(m Mem, v reg.VecVirtual)  { VMOVUPS_Z(m, k.lanes, v) }
func (k avx512Mask) store(v reg.VecVirtual, m Mem) { VMOVUPS(v, k.lanes, m) }

// fold4 folds the four lanes l of each quarter of four vectors, (l0+l2)+(l1+l3),
// into one vector whose quarters hold a sum of each. t is overwritten.
func fold4(v []reg.VecVirtual, t reg.VecVirtual) reg.VecVirtual {
	for i := 0; i < 4; i += 2 {
		VUNPCKHPS(v[i+1], v[i], t)
		VUNPCKLPS(v[i+1], v[i], v[i])
		VADDPS(t, v[i], v[i])
	}
	VUNPCKHPD(v[2], v[0], t)
	VUNPCKLPD(v[2], v[0], v[0])
	VADDPS(t, v[0], v[0])
	return v[0]
}

// foldPairs does to one vector what fold4 does to four: the first lane of each
// quarter becomes its sum.
func foldPairs(v, t reg.VecVirtual) {
	VUNPCKHPD(v, v, t)
	VADDPS(t, v, v)
	VMOVSHDUP(v, t)
	VADDPS(t, v, v)
}

// addHalves adds the halves of a vector of 8 lanes.
func addHalves(v reg.VecVirtual) reg.VecVirtual {
	high := XMM()
	VEXTRACTF128(U8(1), v.AsY(), high)
	VADDPS(high, v.AsX(), high)
	return high
}

func maxOfY(v reg.VecVirtual) reg.VecVirtual {
	m, t := XMM(), XMM()
	VEXTRACTF128(U8(1), v.AsY(), m)
	VMAXPS(m, v.AsX(), m)
	for _, swap := range []uint8{0x4e, 0xb1} { // halves, then neighbours
		VPSHUFD(U8(swap), m, t)
		VMAXPS(t, m, m)
	}
	return m
}

// readOnly holds the vectors in read-only memory by name, 64 bytes each.
var readOnly = map[string]Mem{}

// vector returns one whose 16 lanes are as lane says.
func vector(name string, lane func(i int) uint32) Mem {
	m, ok := readOnly[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		for i := range 16 {
			DATA(4*i, U32(lane(i)))
		}
		readOnly[name] = m
	}
	return m
}

// constant returns a vector with the same bits in all lanes.
func constant(bits uint32) Mem {
	return vector(fmt.Sprintf("c%08x", bits), func(int) uint32 { return bits })
}

func float(f float64) Mem { return constant(math.Float32bits(float32(f))) }
