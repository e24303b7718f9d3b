package main

import "fmt"

// A dot product has 8 sums in two vectors: element k goes to sum k mod 8 by FMA,
// in the order of k. Of what is left behind the last 8, four go to the first
// vector, and then two and one to the first lanes of the second.

// sums are those of one dot product.
type sums struct{ low, high vec }

func newSums(n int) []sums {
	s := make([]sums, n)
	for i := range s {
		z := zeros(2)
		s[i] = sums{z[0], z[1]}
	}
	return s
}

// fold adds the sums of one or four dot products up, to lane i of the result that
// of s[i].
func fold(s []sums) vec {
	for _, p := range s {
		macro("FADD4S", p.high, p.low, p.low)
	}
	if len(s) == 1 {
		a := s[0].low
		macro("FADDP4S", a, a, a)
		macro("FADDP4S", a, a, a)
		return a
	}
	macro("FADDP4S", s[1].low, s[0].low, s[0].low)
	macro("FADDP4S", s[3].low, s[2].low, s[2].low)
	macro("FADDP4S", s[2].low, s[0].low, s[0].low)
	return s[0].low
}

// tails are the pieces of the last k mod 8 elements: the bit of k that tells
// whether there is one, its elements, the load of so many f32 and whose sums.
var tails = []struct {
	bit, elements int
	load          string
	high          bool
}{{2, 4, "FMOVQ", false}, {1, 2, "FMOVD", true}, {0, 1, "FMOVS", true}}

func (s sums) of(high bool) vec {
	if high {
		return s.high
	}
	return s.low
}

// tall is how many rows of x the tallest tile of matMul has: 24 registers of sums.
const tall = 3

// matMul multiplies m rows of x with all n rows of w.
func matMul(m int) {
	function(fmt.Sprintf("matMul%dNEON", m),
		"(out *float32, ldo int, x *float32, ldx int, w *float32, ldw int, n int, k int)",
		fmt.Sprintf("is MatMul for m = %d.", m), 0)
	out, x := rowsOf("out", "ldo", m), rowsOf("x", "ldx", m)
	next, ldw := param("w"), param("ldw")
	n, k := param("n"), param("k")

	// tile computes the outputs of the next width rows of w.
	tile := func(width int) {
		w := make([]gp, width)
		for j := range w {
			w[j] = copyOf(next)
			ins("ADD", times4(ldw), next)
		}
		acc := newSums(m * width)
		loop(shifted(k, 3), func() {
			values, weights := vectors(2*m), vectors(2)
			for i, row := range x {
				ins("FLDPQ.P", mem(row, 32), pair(values[2*i], values[2*i+1]))
			}
			for j, row := range w {
				ins("FLDPQ.P", mem(row, 32), pair(weights[0], weights[1]))
				for i := range m {
					fma(values[2*i], weights[0], acc[i*width+j].low)
					fma(values[2*i+1], weights[1], acc[i*width+j].high)
				}
			}
		})
		for _, t := range tails {
			ifBit(t.bit, k, func() {
				values, weights := vectors(m), newVec()
				for i, row := range x {
					ins(t.load+".P", mem(row, 4*t.elements), values[i])
				}
				for j, row := range w {
					ins(t.load+".P", mem(row, 4*t.elements), weights)
					for i := range m {
						fma(values[i], weights, acc[i*width+j].of(t.high))
					}
				}
			})
		}
		for i, row := range x {
			ins("SUB", times4(k), row)
			for j := 0; j < width; j += 4 {
				if width == 1 {
					ins("FMOVS.P", fold(acc[i:i+1]), mem(out[i], 4))
				} else {
					ins("FMOVQ.P", fold(acc[i*width+j:][:4]), mem(out[i], 16))
				}
			}
		}
	}
	widths := []int{4, 1}
	if m == 1 {
		widths = []int{8, 4, 1} // one row needs as many sums in flight
	}
	for _, width := range widths {
		while(n, width, func() { tile(width) })
	}
	ret()
}

// tallSums is how many rows the tallest tile of accumulate has.
const tallSums = 4

// accumulateTiles are how many vectors wide the tiles of m rows are.
func accumulateTiles(m int) []int {
	if m == tallSums {
		return []int{4, 2, 1}
	}
	return []int{8, 4, 2, 1}
}

// accumulate adds m weighted sums of the rows of v, by FMA in their order.
func accumulate(m int) {
	function(fmt.Sprintf("accumulate%dNEON", m),
		"(acc *float32, lda int, p *float32, ldp int, v *float32, ldv int, n int, dim int)",
		fmt.Sprintf("is Accumulate for m = %d.", m), 0)
	acc, p := rowsOf("acc", "lda", m), rowsOf("p", "ldp", m)
	v, ldv := param("v"), param("ldv")
	n, dim := param("n"), param("dim")

	// columns handles the next width registers of columns of so many bytes.
	columns := func(width, bytes int, move string) {
		sums := vectors(m * width)
		for i, sum := range sums {
			ins(move, mem(acc[i/width], i%width*bytes), sum)
		}
		from := copyOf(v)
		loop(copyOf(n), func() {
			weights := vectors(m)
			for i, weight := range weights {
				broadcast(p[i], 4, weight)
			}
			values := vectors(min(width, 2))
			for c := range width {
				value := values[c%2*(len(values)-1)]
				if width == 1 {
					ins(move, mem(from, 0), value)
				} else if c%2 == 0 {
					ins("FLDPQ", mem(from, c*bytes), pair(values[0], values[1]))
				}
				for i, weight := range weights {
					fma(weight, value, sums[i*width+c])
				}
			}
			ins("ADD", times4(ldv), from)
		})
		for i, sum := range sums {
			ins(move, sum, mem(acc[i/width], i%width*bytes))
		}
		for i := range m {
			ins("SUB", times4(n), p[i])
			add(width*bytes, acc[i])
		}
		add(width*bytes, v)
	}
	for _, width := range accumulateTiles(m) {
		while(dim, 4*width, func() { columns(width, 16, "FMOVQ") })
	}
	for _, t := range tails[1:] {
		ifBit(t.bit, dim, func() { columns(1, 4*t.elements, t.load) })
	}
	ret()
}

// accumulateHalf is accumulate for dense rows of f16, a multiple of 8 of them
// wide. For each line of v it prefetches one of next.
func accumulateHalf(m int) {
	function(fmt.Sprintf("accumulateHalf%dNEON", m),
		"(acc *float32, lda int, p *float32, ldp int, v *uint16, n int, dim int, next *uint16)",
		fmt.Sprintf("is AccumulateHalf for m = %d.", m), 0)
	acc, p := rowsOf("acc", "lda", m), rowsOf("p", "ldp", m)
	v, n, dim, next := param("v"), param("n"), param("dim"), param("next")
	ldv := newGP()
	ins("LSL", imm(1), dim, ldv)

	columns := func(width int) {
		sums := vectors(m * width)
		for i, sum := range sums {
			ins("FMOVQ", mem(acc[i/width], i%width*16), sum)
		}
		from := copyOf(v)
		loop(copyOf(n), func() {
			weights, halves, value := vectors(m), newVec(), newVec()
			ins("PRFM", mem(next, 0), "PLDL1KEEP")
			add(8*width, next)
			for i, weight := range weights {
				broadcast(p[i], 4, weight)
			}
			for c := range width {
				if c%2 == 0 {
					ins("FMOVQ", mem(from, 8*c), halves)
					macro("FCVTL", halves, value)
				} else {
					macro("FCVTL2", halves, value)
				}
				for i, weight := range weights {
					fma(weight, value, sums[i*width+c])
				}
			}
			ins("ADD", ldv, from)
		})
		for i, sum := range sums {
			ins("FMOVQ", sum, mem(acc[i/width], i%width*16))
		}
		for i := range m {
			ins("SUB", times4(n), p[i])
			add(16*width, acc[i])
		}
		add(8*width, v)
	}
	for _, width := range accumulateTiles(m) {
		if width > 1 {
			while(dim, 4*width, func() { columns(width) })
		}
	}
	ret()
}
