package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// fives are the formats of five bits, in vectors of any width: the fifth bits stand apart from
// the nibbles.
func (s *isa) fives() []format { return []format{s.q5_0(), s.q5_1(), s.q5_K()} }

// Constants of the formats of five bits.
const (
	fifthNibble = iota // 15
	fifthBit           // 16
	fifthLanes         // 0, 1, 2 …
)

func fifthConstants() []Mem {
	return []Mem{constant(15), constant(16), vector("lanes", func(i int) uint32 { return uint32(i) })}
}

// scale returns the half at a memory operand in all lanes.
func (s *isa) scale(m Mem) reg.VecVirtual {
	if s.lanes == 16 {
		return halfScaleZ(m)
	}
	return halfScale(m)
}

// scales returns the two halves at a memory operand, each in all lanes.
func (s *isa) scales(m Mem) (first, second reg.VecVirtual) {
	if s.lanes == 16 {
		return halfPairZ(m)
	}
	return halfPair(m)
}

// eachFive hands out the 32 weights as integers whose fifth bits stand in the 4 bytes at disp
// and whose nibbles, the low ones first, in the 16 behind them.
func (s *isa) eachFive(src source, disp int, sink func(reg.VecVirtual)) {
	fifths := s.vec()
	VPBROADCASTD(src.at(disp), fifths)
	VPSRLVD(src.constants[fifthLanes], fifths, fifths) // bit i is now that of weight i in the first lane
	for i := 0; i < 32; i += s.lanes {
		q, fifth := s.vec(), s.vec()
		VPMOVZXBD(src.at(disp+4+i%16), q)
		if i < 16 {
			VANDPS(src.constants[fifthNibble], q, q)
		} else {
			VPSRLD(U8(4), q, q)
		}
		shiftLeft(fifths, 4-i, fifth)
		VANDPS(src.constants[fifthBit], fifth, fifth)
		VORPS(fifth, q, q)
		sink(q)
	}
}

// shiftLeft moves the bits of each lane to the left or, below 0, to the right.
func shiftLeft(from reg.VecVirtual, by int, to reg.VecVirtual) {
	if by < 0 {
		VPSRLD(U8(-by), from, to)
	} else {
		VPSLLD(U8(by), from, to)
	}
}

func (s *isa) q5_0() format {
	return format{name: "Q5_0", weights: 32, bytes: 22, parts: 1, constants: fifthConstants,
		expand: func(_ int, src source, sink func(reg.VecVirtual)) {
			d := s.scale(src.at(0))
			s.eachFive(src, 2, func(q reg.VecVirtual) {
				VPSUBD(src.constants[fifthBit], q, q)
				VCVTDQ2PS(q, q)
				VMULPS(d, q, q)
				sink(q)
			})
		}}
}

func (s *isa) q5_1() format {
	return format{name: "Q5_1", weights: 32, bytes: 24, parts: 1, constants: fifthConstants,
		expand: func(_ int, src source, sink func(reg.VecVirtual)) {
			d, m := s.scales(src.at(0))
			s.eachFive(src, 4, func(q reg.VecVirtual) {
				VCVTDQ2PS(q, q)
				VFMADD213PS(m, d, q)
				sink(q)
			})
		}}
}

// q5_K has the scales of Q4_K; bit r of byte j of the 32 in front of the nibbles is the fifth of
// weight j of run r.
func (s *isa) q5_K() format {
	f := q4_KAVX2()
	f.name, f.bytes = "Q5_K", 176
	f.constants = func() []Mem { return fifthConstants()[:fifthLanes] }
	f.expand = func(part int, src source, sink func(reg.VecVirtual)) {
		for run := 2 * part; run < 2*part+2; run++ {
			step, low := s.vec(), s.vec()
			VBROADCASTSS(src.scratch.Offset(4*run), step)
			VBROADCASTSS(src.scratch.Offset(32+4*run), low)
			for i := 0; i < 32; i += s.lanes {
				q, fifth := s.vec(), s.vec()
				VPMOVZXBD(src.at(48+32*part+i), q)
				if run%2 == 0 {
					VANDPS(src.constants[fifthNibble], q, q)
				} else {
					VPSRLD(U8(4), q, q)
				}
				VPMOVZXBD(src.at(16+i), fifth)
				shiftLeft(fifth, 4-run, fifth)
				VANDPS(src.constants[fifthBit], fifth, fifth)
				VORPS(fifth, q, q)
				VCVTDQ2PS(q, q)
				VFMSUB213PS(low, step, q)
				sink(q)
			}
		}
	}
	return f
}
