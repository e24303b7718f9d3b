package main

import "fmt"

// coding is a form of a panel's codes: see Panel.
type coding struct {
	name    string
	bytes   int // of the codes of a block of a group
	offsets bool
	zero    int // binary logarithm of the code of a weight that is 0; no offsets
}

var codings = []coding{
	{name: "Nibbles", bytes: 256, zero: 3},
	{name: "OffsetNibbles", bytes: 256, offsets: true},
	{name: "Wide", bytes: 512, zero: 7},
}

func (c coding) wide() bool { return c.bytes == 512 }

// blockBytes returns the bytes of a block of a group.
func (c coding) blockBytes() int {
	if c.offsets {
		return c.bytes + 64
	}
	return c.bytes + 32
}

// A block of 32 columns, and of activations: see Block.
const (
	blockColumns = 32
	blockSum     = 8
	blockSize    = 12
	groupRows    = 16
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
	for _, c := range codings {
		for m := 1; m <= tallInt8; m++ {
			int8Product(isa, c, m, dot)
		}
	}
}

// int8Product writes a function for m rows. Up to two rows go over whole groups;
// for more the registers suffice for one half of a group and then the other.
func int8Product(isa string, c coding, m int, dot dot) {
	function(fmt.Sprintf("matMulInt8%s%d%s", c.name, m, isa),
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
	t := int8Tile{coding: c, dot: dot, width: width, q: q, blocks: blocks, codes: codes}
	if c.wide() {
		t.mask = constant(0x80)
	} else {
		t.mask = constant(0x0f)
	}
	loop(groups, func() {
		for first := 0; first < groupRows/4; first += width {
			t.first = first
			scope(func() {
				t.sums = nil
				for range m {
					t.sums = append(t.sums, zeros(width))
				}
				loop(copyOf(count), func() {
					if m == 1 {
						// One row waits for memory. What is prefetched behind the last
						// block is never touched.
						for line := 0; line < c.blockBytes(); line += 64 {
							ins("PRFM", mem(codes, line+prefetch), "PLDL1KEEP")
						}
					}
					t.block()
					add(c.blockBytes(), codes)
				})
				for r, row := range t.sums {
					for i := 0; i < width; i += 2 {
						ins("FSTPQ.P", pair(row[i], row[i+1]), mem(out[r], 32))
					}
					ins("SUB", cols, q[r])
					ins("SUB", size, blocks[r])
				}
				if first+width < groupRows/4 { // back to the begin of the group
					back := newGP()
					ins("MOVD", imm(c.blockBytes()), back)
					ins("MUL", count, back, back)
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
	coding
	dot
	first, width int     // vectors of columns: of a group's four, width from first on
	sums         [][]vec // f32: [rows][width]
	q, blocks    []gp    // the current block of the activations
	codes        gp      // that of the weights
	mask         vec
}

// block adds the products of a block to the sums, and moves on in the rows.
func (t *int8Tile) block() {
	dots := make([][]vec, len(t.q))
	for r := range dots {
		dots[r] = vectors(t.width)
		if t.offsets || t.wide() {
			for _, d := range dots[r] {
				zero(d)
			}
			continue
		}
		// The codes are around their zero: -zero·Sum first.
		scope(func() {
			sum := newGP()
			ins("MOVW", mem(t.blocks[r], blockSum), sum)
			ins("LSLW", imm(t.zero), sum)
			ins("NEGW", sum, sum)
			for _, d := range dots[r] {
				ins("VDUP", sum, d.s4())
			}
		})
	}
	for part := range 2 { // 16 columns each
		scope(func() {
			x := vectors(len(t.q))
			for r, v := range x {
				ins("FMOVQ.P", mem(t.q[r], 16), v)
			}
			if t.wide() {
				for i := range 4 {
					scope(func() { t.multiply(dots, x, i, t.wideCodes(4*part+i)) })
				}
				return
			}
			for i := range 2 {
				scope(func() {
					low, high := t.nibbleCodes(2*part + i)
					t.multiply(dots, x, 2*i, low)
					t.multiply(dots, x, 2*i+1, high)
				})
			}
		})
	}
	scale := t.halves(t.bytes)
	var offset []vec
	if t.offsets {
		offset = t.halves(t.bytes + 2*groupRows)
	}
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
		if t.offsets {
			ins("FMOVS", mem(block, 4), total)
			ins("VDUP", total.as("S[0]"), total.s4())
			for i, o := range offset {
				macro("FMUL4S", o, total, v)
				macro("FADD4S", v, t.sums[r][i], t.sums[r][i])
			}
		}
		add(blockSize, block)
	}
}

// multiply adds the products of the i-th four columns of x.
func (t *int8Tile) multiply(dots [][]vec, x []vec, i int, weights []vec) {
	for r, row := range dots {
		for j, d := range row {
			t.dot(x[r], i, weights[j], d)
		}
	}
}

// wideCodes loads four columns as signed bytes.
func (t *int8Tile) wideCodes(column int) []vec {
	w := t.load(64 * column)
	for _, v := range w {
		ins("VEOR", t.mask.b16(), v.b16(), v.b16())
	}
	return w
}

// nibbleCodes loads eight columns: the first four and the last four.
func (t *int8Tile) nibbleCodes(column int) (low, high []vec) {
	high, low = t.load(64*column), vectors(t.width)
	for i, v := range high {
		ins("VAND", t.mask.b16(), v.b16(), low[i].b16())
		ins("VUSHR", imm(4), v.b16(), v.b16())
	}
	return low, high
}

// load loads the tile's share of 64 bytes.
func (t *int8Tile) load(disp int) []vec {
	w := vectors(t.width)
	for i := 0; i < t.width; i += 2 {
		ins("FLDPQ", mem(t.codes, disp+16*(t.first+i)), pair(w[i], w[i+1]))
	}
	return w
}

// halves loads the tile's share of 16 f16.
func (t *int8Tile) halves(disp int) []vec {
	w := vectors(t.width)
	for i := 0; i < t.width; i += 2 {
		ins("FMOVQ", mem(t.codes, disp+8*(t.first+i)), w[i+1])
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
		tree("VADD", sizes)
		sum := sizes[0]
		ins("VADDV", sum.s4(), fmt.Sprintf("V%d", int(sum)))
		for i := range 4 { // the low halves of the integers
			ins("VUZP1", v[2*i+1].h8(), v[2*i].h8(), v[i].h8())
		}
		for i := range 2 {
			ins("VUZP1", v[2*i+1].b16(), v[2*i].b16(), v[i].b16())
		}
		ins("FSTPQ", pair(v[0], v[1]), mem(q, 0))
		ins("FMOVS", scale, mem(blocks, 0))
		ins("FMOVS", sum, mem(blocks, blockSum))
		macro("SCVTF4S", sum, sum)
		ins("FMULS", scale, sum, sum)
		ins("FMOVS", sum, mem(blocks, 4))
		ins("JMP", done)

		here(unusual)
		zero(v[0])
		ins("FSTPQ", pair(v[0], v[0]), mem(q, 0))
		ins("MOVW", "ZR", mem(blocks, blockSum))
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
