package main

import (
	"fmt"
	"math/bits"
)

// format tells how a block of stored weights becomes vectors of f32. All products
// of a scale and a weight are exact in f32.
type format struct {
	name    string
	weights int  // weights in a block
	bytes   int  // bytes of a block
	halves  bool // the weights stand alone: a row may end anywhere

	// scratch is how many bytes of the stack each row needs for a block.
	scratch int
	// constants are bytes that stay in registers: source.constants.
	constants []uint8
	// prepare does what comes before the parts of a block.
	prepare func(source)
	// expand hands the vectors of a part, 32 weights or a block of fewer, to sink,
	// in order.
	expand func(part int, s source, sink func(v vec))
	// widen makes a vector of up to four weights that stand alone.
	widen func(from, to vec)
}

// source is a block of one row, at an address; scratch is its place on the stack,
// at another.
type source struct {
	at        gp
	scratch   gp
	offset    int // of the place from scratch
	constants []vec
}

const lowNibbles = 0x0f

// halves is a format of 16 bits, of which two instructions widen the lower and the upper
// half of a register.
func halves(name, lower, upper string) format {
	return format{name: name, weights: 8, bytes: 16, halves: true,
		widen: func(from, to vec) { macro(lower, from, to) },
		expand: func(_ int, s source, sink func(vec)) {
			h, v := newVec(), newVec()
			ins("FMOVQ", mem(s.at, 0), h)
			macro(lower, h, v)
			sink(v)
			macro(upper, h, v)
			sink(v)
		}}
}

var formats = []format{
	halves("F16", "FCVTL", "FCVTL2"),
	halves("BF16", "SHLL4S", "SHLL24S"),
	{name: "Q4_0", weights: 32, bytes: 18, constants: []uint8{lowNibbles, 8},
		expand: func(_ int, s source, sink func(vec)) {
			d := s.half(0)
			s.nibbles(2, func(q vec) {
				ins("VSUB", s.constants[1].b16(), q.b16(), q.b16())
				spread(q, func(v vec) {
					macro("FMUL4S", d, v, v)
					sink(v)
				})
			})
		}},
	{name: "Q4_1", weights: 32, bytes: 20, constants: []uint8{lowNibbles},
		expand: func(_ int, s source, sink func(vec)) {
			d, m := s.half(0), s.half(2)
			s.nibbles(4, func(q vec) {
				spread(q, func(v vec) {
					macro("FMUL4S", d, v, v)
					macro("FADD4S", m, v, v)
					sink(v)
				})
			})
		}},
	{name: "Q8_0", weights: 32, bytes: 34,
		expand: func(_ int, s source, sink func(vec)) {
			d, q := s.half(0), newVec()
			for i := range 2 {
				ins("FMOVQ", mem(s.at, 2+16*i), q)
				spread(q, func(v vec) {
					macro("FMUL4S", d, v, v)
					sink(v)
				})
			}
		}},
	// The 8 steps d·scale of a block and then its 8 minima dmin·min stand on the
	// stack. A part is a run of 32 weights; two of them share 32 bytes.
	{name: "Q4_K", weights: 256, bytes: 144, scratch: 64, constants: []uint8{lowNibbles},
		prepare: saveScaleMins,
		expand: func(run int, s source, sink func(vec)) {
			step, low, q := s.saved(run), s.saved(8+run), newVec()
			for i := range 2 {
				ins("FMOVQ", mem(s.at, 16+run/2*32+16*i), q)
				if run%2 == 0 {
					ins("VAND", s.constants[0].b16(), q.b16(), q.b16())
				} else {
					ins("VUSHR", imm(4), q.b16(), q.b16())
				}
				spread(q, func(v vec) {
					macro("FMUL4S", step, v, v)
					macro("FSUB4S", low, v, v)
					sink(v)
				})
			}
		}},
	{name: "Q5_0", weights: 32, bytes: 22, constants: []uint8{lowNibbles, 16},
		expand: func(_ int, s source, sink func(vec)) {
			d := s.half(0)
			s.fives(2, func(q vec) {
				ins("VSUB", s.constants[1].b16(), q.b16(), q.b16())
				spread(q, func(v vec) {
					macro("FMUL4S", d, v, v)
					sink(v)
				})
			})
		}},
	{name: "Q5_1", weights: 32, bytes: 24, constants: []uint8{lowNibbles, 16},
		expand: func(_ int, s source, sink func(vec)) {
			d, m := s.half(0), s.half(2)
			s.fives(4, func(q vec) {
				spread(q, func(v vec) {
					macro("FMUL4S", d, v, v)
					macro("FADD4S", m, v, v)
					sink(v)
				})
			})
		}},
	// The scales are those of Q4_K; bit r of byte j of the 32 in front of the nibbles is the
	// fifth of weight j of run r.
	{name: "Q5_K", weights: 256, bytes: 176, scratch: 64, constants: []uint8{lowNibbles, 16},
		prepare: saveScaleMins,
		expand: func(run int, s source, sink func(vec)) {
			step, low, q, fifth := s.saved(run), s.saved(8+run), newVec(), newVec()
			for i := range 2 {
				ins("FMOVQ", mem(s.at, 48+run/2*32+16*i), q)
				if run%2 == 0 {
					ins("VAND", s.constants[0].b16(), q.b16(), q.b16())
				} else {
					ins("VUSHR", imm(4), q.b16(), q.b16())
				}
				ins("FMOVQ", mem(s.at, 16+16*i), fifth)
				if left := 4 - run; left > 0 {
					ins("VSHL", imm(left), fifth.b16(), fifth.b16())
				} else if left < 0 {
					ins("VUSHR", imm(-left), fifth.b16(), fifth.b16())
				}
				ins("VAND", s.constants[1].b16(), fifth.b16(), fifth.b16())
				ins("VORR", fifth.b16(), q.b16(), q.b16())
				spread(q, func(v vec) {
					macro("FMUL4S", step, v, v)
					macro("FSUB4S", low, v, v)
					sink(v)
				})
			}
		}},
	// The 16 steps d·scale of a block stand on the stack. A part is a run of 32
	// weights with two steps.
	{name: "Q6_K", weights: 256, bytes: 210, scratch: 64, constants: []uint8{lowNibbles, 0x30, 32},
		prepare: func(s source) {
			d, q := s.half(208), newVec()
			ins("FMOVQ", mem(s.at, 192), q)
			at := s.offset
			spread(q, func(v vec) {
				macro("FMUL4S", d, v, v)
				ins("FMOVQ", v, mem(s.scratch, at))
				at += 16
			})
		},
		expand: func(run int, s source, sink func(vec)) {
			part, in := run/4, run%4
			low, high := newVec(), newVec()
			for i := range 2 {
				ins("FMOVQ", mem(s.at, 64*part+in%2*32+16*i), low)
				if in >= 2 {
					ins("VUSHR", imm(4), low.b16(), low.b16())
				} else {
					ins("VAND", s.constants[0].b16(), low.b16(), low.b16())
				}
				ins("FMOVQ", mem(s.at, 128+32*part+16*i), high)
				if left := 4 - 2*in; left > 0 {
					ins("VSHL", imm(left), high.b16(), high.b16())
				} else if left < 0 {
					ins("VUSHR", imm(-left), high.b16(), high.b16())
				}
				ins("VAND", s.constants[1].b16(), high.b16(), high.b16())
				ins("VORR", high.b16(), low.b16(), low.b16())
				ins("VSUB", s.constants[2].b16(), low.b16(), low.b16())
				scope(func() {
					step := s.saved(2*run + i)
					spread(low, func(v vec) {
						macro("FMUL4S", step, v, v)
						sink(v)
					})
				})
			}
		}},
}

// saveScaleMins puts the steps and minima of Q4_K and Q5_K on the stack.
func saveScaleMins(s source) {
	scales, mins := unpackQ4_K(s.at)
	for i, packed := range []gp{scales, mins} {
		scope(func() {
			d, v, v2 := s.half(2*i), newVec(), newVec()
			ins("FMOVD", packed, v)
			ins("VUXTL", v.as("B8"), v.h8())
			ins("VUXTL2", v.h8(), v2.s4())
			ins("VUXTL", v.as("H4"), v.s4())
			for j, x := range []vec{v, v2} {
				macro("SCVTF4S", x, x)
				macro("FMUL4S", d, x, x)
				ins("FMOVQ", x, mem(s.scratch, s.offset+32*i+16*j))
			}
		})
	}
}

// parts is how many parts a block is expanded in.
func (f format) parts() int { return (f.weights + 31) / 32 }

// vectors is how many vectors a part has.
func (f format) vectors() int { return min(f.weights, 32) / 4 }

// half loads an f16 to all lanes, as f32.
func (s source) half(disp int) vec {
	v := newVec()
	scope(func() {
		at := s.at
		if disp > 0 {
			at = newGP()
			ins("ADD", imm(disp), s.at, at)
		}
		ins("VLD1R", mem(at, 0), "["+v.h8()+"]")
	})
	macro("FCVTL", v, v)
	return v
}

// saved loads number i on the stack to all lanes.
func (s source) saved(i int) vec {
	v := newVec()
	ins("FMOVS", mem(s.scratch, s.offset+4*i), v)
	ins("VDUP", v.as("S[0]"), v.s4())
	return v
}

// nibbles hands out the low and then the high nibbles of 16 bytes.
func (s source) nibbles(disp int, sink func(q vec)) {
	low, high := newVec(), newVec()
	ins("FMOVQ", mem(s.at, disp), high)
	ins("VAND", s.constants[0].b16(), high.b16(), low.b16())
	ins("VUSHR", imm(4), high.b16(), high.b16())
	sink(low)
	sink(high)
}

// fives hands out twice 16 weights whose fifth bits stand in the 4 bytes at disp and whose
// nibbles, the low ones first, in the 16 behind them.
func (s source) fives(disp int, sink func(q vec)) {
	first := 0
	s.nibbles(disp+4, func(q vec) {
		scope(func() {
			fifths, bit := newVec(), newVec()
			bits, each := newGP(), newGP()
			// Each of two bytes eight times, and of the copies a bit each.
			ins("MOVD", "$0x0101010101010101", each)
			for half := range 2 {
				ins("MOVBU", mem(s.at, disp+first+half), bits)
				ins("MUL", each, bits, bits)
				ins("VMOV", bits, fifths.as(fmt.Sprintf("D[%d]", half)))
			}
			ins("MOVD", "$0x8040201008040201", bits)
			ins("VDUP", bits, bit.as("D2"))
			ins("VCMTST", bit.b16(), fifths.b16(), fifths.b16())
			ins("VAND", s.constants[1].b16(), fifths.b16(), fifths.b16())
			ins("VORR", fifths.b16(), q.b16(), q.b16())
		})
		sink(q)
		first += 2
	})
}

// spread hands out 16 signed bytes as f32.
func spread(q vec, sink func(v vec)) {
	scope(func() {
		words, v := newVec(), newVec()
		for _, wide := range []string{"SXTL8H", "SXTL28H"} {
			macro(wide, q, words)
			for _, wider := range []string{"SXTL4S", "SXTL24S"} {
				macro(wider, words, v)
				macro("SCVTF4S", v, v)
				sink(v)
			}
		}
	})
}

// unpackQ4_K returns the 8 scales and the 8 minima of a block, a byte each: see
// scaleMinQ4_K. The first four of both stand in the low six bits of bytes 0–3
// and 4–7; bytes 8–11 hold the low nibbles of the last four.
func unpackQ4_K(block gp) (scales, mins gp) {
	scales, mins = newGP(), newGP()
	scope(func() {
		last, rest, top := newGP(), newGP(), newGP()
		ins("MOVWU", mem(block, 12), last)
		for i, r := range []gp{scales, mins} {
			ins("MOVWU", mem(block, 4+4*i), r)
			ins("LSR", imm(2), r, top) // bits 6 and 7 to 4 and 5
			ins("ANDW", "$0x30303030", top)
			ins("LSR", imm(4*i), last, rest)
			ins("ANDW", "$0x0f0f0f0f", rest)
			ins("ORR", top, rest)
			ins("ANDW", "$0x3f3f3f3f", r)
			ins("ORR", fmt.Sprintf("%v<<32", rest), r)
		}
	})
	return scales, mins
}

// sources begins with the blocks of rows of a format.
func (f format) sources(rows []gp) []source {
	sources := make([]source, len(rows))
	var constants []vec
	for _, c := range f.constants {
		constants = append(constants, constant(c))
	}
	var scratch gp
	if f.scratch > 0 {
		scratch = newGP()
		ins("MOVD", fmt.Sprintf("$scratch-%d(SP)", f.scratch*len(rows)), scratch)
	}
	for i, row := range rows {
		sources[i] = source{row, scratch, f.scratch * i, constants}
	}
	return sources
}

func dequantize(f format) {
	function(fmt.Sprintf("dequantize%sNEON", f.name), "(dst *float32, src *byte, blocks int)",
		fmt.Sprintf("expands blocks of %d weights.", f.weights), f.scratch)
	dst, src, blocks := param("dst"), param("src"), param("blocks")
	s := f.sources([]gp{src})[0]
	loop(blocks, func() {
		if f.prepare != nil {
			scope(func() { f.prepare(s) })
		}
		at := 0
		for part := range f.parts() {
			scope(func() {
				f.expand(part, s, func(v vec) {
					ins("FMOVQ", v, mem(dst, at))
					at += 16
				})
			})
		}
		add(f.bytes, src)
		add(4*f.weights, dst)
	})
	ret()
}

const (
	matVecRows = 4    // rows of weights at a time: as many sums in flight
	prefetch   = 2048 // how many bytes ahead of one row's products weights are fetched
)

// matVec multiplies x with n rows of stored weights, with the sums of matMul.
func matVec(f format) {
	function(fmt.Sprintf("matVec%sNEON", f.name), "(out *float32, x *float32, w *byte, n int, k int)",
		fmt.Sprintf("is MatVec for rows of %s, with the sums of matMul1NEON.", f.name), f.scratch*matVecRows)
	out, x, next := param("out"), param("x"), param("w")
	n, k := param("n"), param("k")
	blocks := shifted(k, bits.TrailingZeros(uint(f.weights)))
	stride := newGP()
	if f.halves {
		ins("LSL", imm(1), k, stride)
	} else {
		scope(func() {
			size := newGP()
			ins("MOVD", imm(f.bytes), size)
			ins("MUL", size, blocks, stride)
		})
	}
	rows := make([]gp, matVecRows)
	for i := range rows {
		rows[i] = newGP()
	}
	sources := f.sources(rows)
	for _, height := range []int{matVecRows, 1} {
		while(n, height, func() {
			for _, row := range rows[:height] {
				ins("MOVD", next, row)
				ins("ADD", stride, next)
			}
			acc := newSums(height)
			ahead := copyOf(rows[0])
			loop(copyOf(blocks), func() {
				// What is prefetched behind the last row is never touched.
				for line := 0; line < height*f.bytes; line += 64 {
					ins("PRFM", mem(ahead, line+prefetch), "PLDL1KEEP")
				}
				add(height*f.bytes, ahead)
				if f.prepare != nil {
					for _, s := range sources[:height] {
						scope(func() { f.prepare(s) })
					}
				}
				for part := range f.parts() {
					scope(func() {
						values := vectors(f.vectors())
						for i := 0; i < len(values); i += 2 {
							ins("FLDPQ.P", mem(x, 32), pair(values[i], values[i+1]))
						}
						for r, s := range sources[:height] {
							scope(func() {
								i := 0
								f.expand(part, s, func(v vec) {
									fma(values[i], v, acc[r].of(i%2 == 1))
									i++
								})
							})
						}
					})
				}
				for _, row := range rows[:height] {
					add(f.bytes, row)
				}
			})
			if f.halves {
				f.tail(k, x, rows[:height], acc)
			}
			ins("SUB", times4(k), x)
			if sum := fold(acc); height == 1 {
				ins("FMOVS.P", sum, mem(out, 4))
			} else {
				ins("FMOVQ.P", sum, mem(out, 16))
			}
		})
	}
	ret()
}

// tail adds the last k mod 8 weights of rows that stand alone.
func (f format) tail(k, x gp, rows []gp, acc []sums) {
	for _, t := range tails {
		ifBit(t.bit, k, func() {
			value, weights := newVec(), newVec()
			ins(t.load+".P", mem(x, 4*t.elements), value)
			for r, row := range rows {
				switch t.elements {
				case 4:
					ins("FMOVD.P", mem(row, 8), weights)
				case 2:
					ins("FMOVS.P", mem(row, 4), weights)
				case 1:
					bits := newGP()
					ins("MOVHU", mem(row, 0), bits)
					ins("FMOVS", bits, weights)
				}
				f.widen(weights, weights)
				fma(value, weights, acc[r].of(t.high))
			}
		})
	}
}
