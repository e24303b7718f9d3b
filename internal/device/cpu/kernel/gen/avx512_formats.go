package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func formatsAVX512() []format {
	return []format{f16AVX512(), bf16AVX512(), q4_0AVX512(), q4_1AVX512(), q8_0AVX512(), q4_KAVX512(), q6_KAVX512()}
}

func f16AVX512() format {
	return format{name: "F16", weights: 16, bytes: 32, halves: true, parts: 1,
		expand: func(_ int, s source, sink func(reg.VecVirtual)) {
			v := ZMM()
			VCVTPH2PS(s.at(0), v)
			sink(v)
		}}
}

func bf16AVX512() format {
	return format{name: "BF16", weights: 16, bytes: 32, halves: true, parts: 1,
		expand: func(_ int, s source, sink func(reg.VecVirtual)) {
			v := ZMM()
			VPMOVZXWD(s.at(0), v)
			VPSLLD(U8(16), v, v)
			sink(v)
		}}
}

// The 16 values that a nibble can take stand in one vector, and a permutation
// looks them up: it heeds the low four bits of each lane alone.

// counting is 0, 1 … 15, each less offset.
func counting(offset int) Mem {
	name := "counting"
	if offset > 0 {
		name = "centred"
	}
	return vector(name, func(i int) uint32 { return math.Float32bits(float32(i - offset)) })
}

// lookUp hands out the weights of the low nibbles of 16 bytes a vector, then of
// the high ones, from their tables.
func lookUp(bytes []Mem, low, high reg.VecVirtual, sink func(reg.VecVirtual)) {
	index := make([]reg.VecVirtual, len(bytes))
	for i, m := range bytes {
		index[i] = ZMM()
		VPMOVZXBD(m, index[i])
		v := ZMM()
		VPERMPS(low, index[i], v)
		sink(v)
	}
	for _, x := range index {
		VPSRLD(U8(4), x, x)
		v := ZMM()
		VPERMPS(high, x, v)
		sink(v)
	}
}

// halfScaleZ and halfPairZ are halfScale and halfPair in 16 lanes.
func halfScaleZ(m Mem) reg.VecVirtual {
	h, d := YMM(), ZMM()
	VPBROADCASTW(m, h)
	VCVTPH2PS(h, d)
	return d
}

func halfPairZ(m Mem) (first, second reg.VecVirtual) {
	h, both := YMM(), ZMM()
	VPBROADCASTD(m, h)
	VCVTPH2PS(h, both)
	first, second = ZMM(), ZMM()
	VMOVSLDUP(both, first)
	VMOVSHDUP(both, second)
	return first, second
}

func q4_0AVX512() format {
	return format{name: "Q4_0", weights: 32, bytes: 18, parts: 1,
		constants: func() []Mem { return []Mem{counting(8)} },
		expand: func(_ int, s source, sink func(reg.VecVirtual)) {
			table := halfScaleZ(s.at(0))
			VMULPS(s.constants[0], table, table)
			lookUp([]Mem{s.at(2)}, table, table, sink)
		}}
}

func q4_1AVX512() format {
	return format{name: "Q4_1", weights: 32, bytes: 20, parts: 1,
		constants: func() []Mem { return []Mem{counting(0)} },
		expand: func(_ int, s source, sink func(reg.VecVirtual)) {
			table, m := halfPairZ(s.at(0))
			VFMADD213PS(m, s.constants[0], table)
			lookUp([]Mem{s.at(4)}, table, table, sink)
		}}
}

func q8_0AVX512() format {
	return format{name: "Q8_0", weights: 32, bytes: 34, parts: 1,
		expand: func(_ int, s source, sink func(reg.VecVirtual)) {
			d := halfScaleZ(s.at(0))
			for i := range 2 {
				q := ZMM()
				VPMOVSXBD(s.at(2+16*i), q)
				VCVTDQ2PS(q, q)
				VMULPS(d, q, q)
				sink(q)
			}
		}}
}

func q4_KAVX512() format {
	f := q4_KAVX2()
	f.constants = func() []Mem { return []Mem{counting(0)} }
	f.expand = func(part int, s source, sink func(reg.VecVirtual)) {
		tables := make([]reg.VecVirtual, 2)
		for i := range tables {
			step, low := ZMM(), ZMM()
			VBROADCASTSS(s.scratch.Offset(4*(2*part+i)), step)
			VBROADCASTSS(s.scratch.Offset(32+4*(2*part+i)), low)
			VFMSUB213PS(low, s.constants[0], step)
			tables[i] = step
		}
		lookUp([]Mem{s.at(16 + 32*part), s.at(32 + 32*part)}, tables[0], tables[1], sink)
	}
	return f
}

func q6_KAVX512() format {
	f := q6_KAVX2()
	f.expand = func(part int, s source, sink func(reg.VecVirtual)) {
		q6_KWeights(part, s)
		for i := range 2 {
			step, q := ZMM(), ZMM()
			VBROADCASTSS(s.scratch.Offset(4*(2*part+i)), step)
			VPMOVSXBD(s.scratch.Offset(q6_KScratch+16*i), q)
			VCVTDQ2PS(q, q)
			VMULPS(step, q, q)
			sink(q)
		}
	}
	return f
}
