package main

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/device/cpu/kernel/gen/panels"
)

// A block of 32 columns, and of activations: see Block.
const (
	blockColumns = panels.BlockColumns
	blockSums    = 8
	blockSize    = 12
	groupRows    = panels.GroupRows
)

// tallInt8 is how many rows the tallest tile has.
const tallInt8 = 4

// dot adds to the four i32 of sum the products of 4 times 4 bytes of w with the
// i-th 4 of x.
type dot func(x vec, i int, w, sum vec)

func dotBytes(x vec, i int, w, sum vec) { macro("SDOT4S", x, vec(i), w, sum) }

// multiplyBytes adds pairs in 16 bits: 2·127·128 at most.
func multiplyBytes(x vec, i int, w, sum vec) {
	scope(func() {
		four, low, high := newVec(), newVec(), newVec()
		ins("VDUP", x.as(fmt.Sprintf("S[%d]", i)), four.s4())
		macro("SMULL8H", four, w, low)
		macro("SMULL28H", four, w, high)
		ins("VADDP", high.h8(), low.h8(), low.h8())
		macro("SADALP4S", low, sum)
	})
}

func int8Products(isa string, dot dot) {
	for _, c := range panels.Codings {
		for m := 1; m <= tallInt8; m++ {
			int8Product(isa, c, m, dot)
		}
	}
}

// int8Product writes a function for m rows. Up to two rows go over whole groups;
// for more the registers suffice for one half of a group and then the other.
func int8Product(isa string, c panels.Coding, m int, dot dot) {
	function(fmt.Sprintf("matMulInt8%s%d%s", c.Name, m, isa),
		"(out *float32, ldo int, q *int8, blocks *byte, cols int, w *byte, groups int, ahead int, step int)",
		fmt.Sprintf("is MatMulInt8 for %d rows and whole groups.", m), 0)
	width := 4 // vectors of columns
	if m > 2 {
		width = 2
	}
	out := rowsOf("out", "ldo", m)
	codes, groups := param("w"), param("groups")
	cols := param("cols")
	count := shifted(cols, 5)
	q := rowsFrom("q", cols, m)
	size := newGP()
	ins("MOVD", imm(blockSize), size)
	ins("MUL", size, count, size)
	blocks := rowsFrom("blocks", size, m)
	t := int8Tile{Coding: c, dot: dot, width: width, q: q, blocks: blocks, codes: codes}
	if c.Wide() {
		t.mask = constant(0x80)
	} else {
		t.mask = constant(0x0f)
	}
	if c.Bits == 5 || c.Bits == 6 {
		t.topMask = constant(1<<c.Bits - 16)
	}
	if c.Super {
		t.super = newGP()
	}
	loop(groups, func() {
		for first := 0; first < groupRows/4; first += width {
			t.first = first
			scope(func() {
				t.sums = nil
				for range m {
					t.sums = append(t.sums, zeros(width))
				}
				left := copyOf(count)
				loop(left, func() {
					if c.Super {
						t.enterSuper(left)
					}
					if m == 1 {
						// One row waits for memory. What is prefetched behind the last
						// block is never touched.
						for line := 0; line < c.Bytes(); line += 64 {
							ins("PRFM", mem(codes, line+prefetch), "PLDL1KEEP")
						}
					}
					t.block()
					add(c.Bytes(), codes)
				})
				for r, row := range t.sums {
					for i := 0; i < width; i += 2 {
						ins("FSTPQ.P", pair(row[i], row[i+1]), mem(out[r], 32))
					}
					ins("SUB", cols, q[r])
					ins("SUB", size, blocks[r])
				}
				if first+width < groupRows/4 { // back to the begin of the group
					back, blocks := newGP(), count
					if c.Super {
						ins("MOVD", imm(panels.SuperBlocks*c.Bytes()+c.Scales()), back)
						blocks = shifted(count, 3)
					} else {
						ins("MOVD", imm(c.Bytes()), back)
					}
					ins("MUL", blocks, back, back)
					ins("SUB", back, codes)
				}
			})
		}
	})
	ret()
}

// rowsFrom returns the addresses of m rows that begin at an argument, stride bytes
// apart.
func rowsFrom(base string, stride gp, m int) []gp {
	rows := []gp{param(base)}
	for i := range m - 1 {
		rows = append(rows, newGP())
		ins("ADD", stride, rows[i], rows[i+1])
	}
	return rows
}

// int8Tile is rows of activations times some columns of a group of weights.
type int8Tile struct {
	panels.Coding
	dot
	first, width int     // vectors of columns: of a group's four, width from first on
	sums         [][]vec // f32: [rows][width]
	q, blocks    []gp    // the current block of the activations
	codes        gp      // that of the weights
	super        gp      // scales of the first level
	mask         vec
	topMask      vec // of the bits above a nibble
}

// enterSuper passes the scales of the first level where a block is the first of eight.
func (t *int8Tile) enterSuper(left gp) {
	inside := label("inside")
	ins("TST", imm(panels.SuperBlocks-1), left)
	ins("BNE", inside)
	ins("MOVD", t.codes, t.super)
	add(t.Scales(), t.codes)
	here(inside)
}

// block adds the products of a block to the sums, and moves on in the rows.
func (t *int8Tile) block() {
	halves := 2 / t.Parts() // of 16 columns, in a part
	for part := range t.Parts() {
		scope(func() {
			dots := make([][]vec, len(t.q))
			for r := range dots {
				dots[r] = vectors(t.width)
				t.begin(dots[r], r, part)
			}
			for half := part * halves; half < (part+1)*halves; half++ {
				scope(func() { t.multiply(dots, 4*half) })
			}
			t.add(dots, part)
		})
	}
	for _, block := range t.blocks {
		add(blockSize, block)
	}
}

// multiply adds the products of 16 columns, of which the first four are given.
func (t *int8Tile) multiply(dots [][]vec, first int) {
	x := vectors(len(t.q))
	for r, v := range x {
		ins("FMOVQ.P", mem(t.q[r], 16), v)
	}
	for columns := first; columns < first+4; columns += 2 {
		for i := 0; i < t.width; i += 2 {
			scope(func() {
				t.eachWeights(columns, i, func(column, i int, weights vec) {
					for r, row := range dots {
						t.dot(x[r], column%4, weights, row[i])
					}
				})
			})
		}
	}
}

// begin sets dots of a row to what is due to the code of 0: -zero·Σ. Wide codes are turned
// to signed ones instead.
func (t *int8Tile) begin(dots []vec, r, part int) {
	if t.Offsets || t.Wide() {
		for _, d := range dots {
			zero(d)
		}
		return
	}
	scope(func() {
		sum := newGP()
		ins("MOVH", mem(t.blocks[r], blockSums+2*part), sum)
		if t.Parts() == 1 {
			last := newGP()
			ins("MOVH", mem(t.blocks[r], blockSums+2), last)
			ins("ADDW", last, sum)
		}
		ins("LSLW", imm(t.Zero()), sum)
		ins("NEGW", sum, sum)
		for _, d := range dots {
			ins("VDUP", sum, d.s4())
		}
	})
}

// add adds the products of a part of a block to the sums.
func (t *int8Tile) add(dots [][]vec, part int) {
	scale, offset := t.factors(part)
	v, total := newVec(), newVec()
	for r, row := range dots {
		block := t.blocks[r]
		ins("FMOVS", mem(block, 0), total)
		ins("VDUP", total.as("S[0]"), total.s4())
		for i, d := range row {
			macro("SCVTF4S", d, d)
			macro("FMUL4S", scale[i], total, v)
			macro("FMUL4S", d, v, v)
			macro("FADD4S", v, t.sums[r][i], t.sums[r][i])
		}
		if t.Offsets {
			ins("FMOVS", mem(block, 4), total)
			ins("VDUP", total.as("S[0]"), total.s4())
			for i, o := range offset {
				macro("FMUL4S", o, total, v)
				macro("FADD4S", v, t.sums[r][i], t.sums[r][i])
			}
		}
	}
}

// factors returns the scales of a part of a block, and its offsets.
func (t *int8Tile) factors(part int) (scale, offset []vec) {
	if !t.Coding.Super {
		scale = t.halves(t.codes, t.Coding.Codes())
		if t.Offsets {
			offset = t.halves(t.codes, t.Coding.Codes()+2*groupRows)
		}
		return scale, offset
	}
	scale = t.halves(t.super, 0)
	t.step(scale, part)
	if t.Offsets {
		offset = t.halves(t.super, 2*groupRows)
		t.step(offset, 1)
	}
	return scale, offset
}

// step multiplies scales of the first level by steps of the second: of each pair of bytes
// one.
func (t *int8Tile) step(scale []vec, second int) {
	scope(func() {
		pairs, steps := newVec(), newVec()
		for i := 0; i < t.width; i += 2 {
			ins("FMOVQ", mem(t.codes, t.Coding.Codes()+8*(t.first+i)), pairs)
			if second == 0 {
				ins("VSHL", imm(8), pairs.h8(), pairs.h8())
			}
			macro("SSHR8H8", pairs, pairs)
			for j, wider := range []string{"SXTL4S", "SXTL24S"} {
				macro(wider, pairs, steps)
				macro("SCVTF4S", steps, steps)
				macro("FMUL4S", steps, scale[i+j], scale[i+j])
			}
		}
	})
}

// eachWeights hands out twice four columns of the i-th vectors of the tile and the next: the
// codes, or, where these are wide, what they are around 128.
func (t *int8Tile) eachWeights(columns, i int, sink func(columns, i int, weights vec)) {
	if t.Wide() {
		for column := columns; column < columns+2; column++ {
			for j, w := range t.load(64*column, i) {
				ins("VEOR", t.mask.b16(), w.b16(), w.b16())
				sink(column, i+j, w)
			}
		}
		return
	}
	nibbles, codes := t.load(32*columns, i), newVec()
	for high := range 2 {
		column := columns + high
		for j, n := range nibbles {
			if high == 0 {
				ins("VAND", t.mask.b16(), n.b16(), codes.b16())
			} else {
				ins("VUSHR", imm(4), n.b16(), codes.b16())
			}
			if t.Bits > 4 {
				scope(func() {
					ins("VORR", t.tops(column, i+j).b16(), codes.b16(), codes.b16())
				})
			}
			sink(column, i+j, codes)
		}
	}
}

// tops loads the bits above the nibbles of four columns.
func (t *int8Tile) tops(columns, i int) vec {
	bit := columns * (t.Bits - 4)
	v := newVec()
	ins("FMOVQ", mem(t.codes, 64*(4+bit/8)+16*(t.first+i)), v)
	if left := 4 - bit%8; left > 0 {
		ins("VSHL", imm(left), v.b16(), v.b16())
	} else if left < 0 {
		ins("VUSHR", imm(-left), v.b16(), v.b16())
	}
	ins("VAND", t.topMask.b16(), v.b16(), v.b16())
	return v
}

// load loads the i-th vector of the tile's share of 64 bytes and the next.
func (t *int8Tile) load(disp, i int) []vec {
	w := vectors(2)
	ins("FLDPQ", mem(t.codes, disp+16*(t.first+i)), pair(w[0], w[1]))
	return w
}

// halves loads the tile's share of 16 f16.
func (t *int8Tile) halves(base gp, disp int) []vec {
	w := vectors(t.width)
	for i := 0; i < t.width; i += 2 {
		ins("FMOVQ", mem(base, disp+8*(t.first+i)), w[i+1])
		macro("FCVTL", w[i+1], w[i])
		macro("FCVTL2", w[i+1], w[i+1])
	}
	return w
}

func quantize() {
	function("quantizeNEON", "(q *int8, blocks *byte, x *float32, n int)", "is Quantize for n blocks.", 0)
	q, blocks, x, n := param("q"), param("blocks"), param("x"), param("n")
	infinite, leastNormal := newGP(), newGP()
	ins("MOVD", "$0x7f800000", infinite)
	ins("MOVD", "$0x00800000", leastNormal)
	divisor, one := newVec(), newVec()
	ins("FMOVS", "$127.0", divisor)
	ins("FMOVS", "$1.0", one)
	loop(n, func() {
		v, sizes := vectors(8), vectors(8)
		for i := 0; i < len(v); i += 2 {
			ins("FLDPQ.P", mem(x, 32), pair(v[i], v[i+1]))
		}
		for i := range v {
			macro("FABS4S", v[i], sizes[i]) // magnitudes compare like their bits
		}
		tree := func(name string, s []vec) {
			for n := len(s) / 2; n > 0; n /= 2 {
				for i := range n {
					ins(name, s[i+n].s4(), s[i].s4(), s[i].s4())
				}
			}
		}
		tree("VUMAX", sizes)
		most, scale, inverse := sizes[0], newVec(), newVec()
		macro("UMAXV4S", most, most)
		ins("FDIVS", divisor, most, scale)
		mostBits, bits := newGP(), newGP()
		ins("FMOVS", most, mostBits)
		ins("FMOVS", scale, bits)
		unusual, done, finite := label("unusual"), label("done"), label("finite")
		ins("CMPW", infinite, mostBits)
		ins("BHS", unusual)
		ins("CMPW", leastNormal, bits)
		ins("BLO", unusual)
		ins("FDIVS", scale, one, inverse)
		ins("VDUP", inverse.as("S[0]"), inverse.s4())
		for i, w := range v {
			macro("FMUL4S", inverse, w, w)
			macro("FCVTNS4S", w, w)
			move(w, sizes[i])
		}
		sums := []vec{sizes[0], sizes[4]}
		for i, sum := range sums {
			tree("VADD", sizes[4*i:][:4])
			ins("VADDV", sum.s4(), fmt.Sprintf("V%d", int(sum)))
			ins("FMOVS", sum, bits)
			ins("MOVH", bits, mem(blocks, blockSums+2*i))
		}
		sum := sums[0]
		ins("VADD", sums[1].s4(), sum.s4(), sum.s4())
		for i := range 4 { // the low halves of the integers
			ins("VUZP1", v[2*i+1].h8(), v[2*i].h8(), v[i].h8())
		}
		for i := range 2 {
			ins("VUZP1", v[2*i+1].b16(), v[2*i].b16(), v[i].b16())
		}
		ins("FSTPQ", pair(v[0], v[1]), mem(q, 0))
		ins("FMOVS", scale, mem(blocks, 0))
		macro("SCVTF4S", sum, sum)
		ins("FMULS", scale, sum, sum)
		ins("FMOVS", sum, mem(blocks, 4))
		ins("JMP", done)

		here(unusual)
		zero(v[0])
		ins("FSTPQ", pair(v[0], v[0]), mem(q, 0))
		ins("MOVW", "ZR", mem(blocks, blockSums))
		ins("MOVD", imm(0), bits)
		ins("CMPW", infinite, mostBits)
		ins("BLO", finite)
		ins("MOVD", "$0x7fc00000", bits) // not a number
		here(finite)
		ins("MOVW", bits, mem(blocks, 0))
		ins("MOVW", bits, mem(blocks, 4))
		here(done)
		add(32, q)
		add(blockSize, blocks)
	})
	ret()
}
