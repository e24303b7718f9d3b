package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// cached draws a block of keys or values in 8 bits.
func cached(rng *rand.Rand, n, scales int) ([]int8, []float32) {
	codes := asInt8(mem[2].bytes(n))
	for i := range codes {
		codes[i] = int8(rng.IntN(256) - 128)
	}
	return codes, fill(rng, mem[3].floats(scales), magnitude(rng))
}

// nextOf returns something to prefetch for codes, or nothing.
func nextOf(rng *rand.Rand, codes []int8) []int8 {
	if rng.IntN(2) == 0 {
		return nil
	}
	return make([]int8, len(codes))
}

// checkScoresInt8 compares with f64 arithmetic, and rows in company with rows alone.
func checkScoresInt8(set *Set, rng *rand.Rand) error {
	const keys = blockColumns
	m, dim := rng.IntN(8), 8*rng.IntN(20)
	q, ldq := matrix(rng, &mem[0], m, dim, magnitude(rng))
	acc, lda := matrix(rng, &mem[1], m, keys, 1)
	codes, scales := cached(rng, dim*keys, (dim+31)/32*keys)
	before := slices.Clone(acc)
	set.ScoresInt8(acc, lda, q, ldq, codes, scales, m, dim, nextOf(rng, codes))
	for i := range m {
		alone := slices.Clone(before[i*lda:][:keys])
		set.ScoresInt8(alone, keys, q[i*ldq:], dim, codes, scales, 1, dim, nil)
		for t := range keys {
			got, want := acc[i*lda+t], float64(before[i*lda+t])
			size := math.Abs(want)
			for d := range dim {
				term := float64(q[i*ldq+d]) * float64(codes[d*keys+t]) * float64(scales[d/32*keys+t])
				want, size = want+term, size+math.Abs(term)
			}
			if !near(got, want, float64(dim+4)*eps32*size+0x1p-120) {
				return fmt.Errorf("m=%d dim=%d: [%d, %d] = %v, want %v", m, dim, i, t, got, want)
			}
			if !sameBit(got, alone[t]) {
				return fmt.Errorf("m=%d dim=%d: [%d, %d] = %v among others, %v alone", m, dim, i, t, got, alone[t])
			}
		}
	}
	return between("ScoresInt8", acc, before, m, lda, keys)
}

// checkOutputsInt8 does the same for sums of values, and adds them one at a time.
func checkOutputsInt8(set *Set, rng *rand.Rand) error {
	m, n, dim := rng.IntN(8), rng.IntN(33), 8*(1+rng.IntN(19))
	p, ldp := matrix(rng, &mem[0], m, n, magnitude(rng))
	acc, lda := matrix(rng, &mem[1], m, dim, 1)
	codes, scales := cached(rng, n*dim, (dim+31)/32*32)
	before := slices.Clone(acc)
	set.OutputsInt8(acc, lda, p, ldp, codes, scales, m, n, dim, nextOf(rng, codes))
	for i := range m {
		alone := slices.Clone(before[i*lda:][:dim])
		for t := range n {
			set.OutputsInt8(alone, dim, p[i*ldp+t:], ldp, codes[t*dim:], scales[t:], 1, 1, dim, nil)
		}
		for d := range dim {
			got, want := acc[i*lda+d], float64(before[i*lda+d])
			size := math.Abs(want)
			for t := range n {
				term := float64(p[i*ldp+t]) * float64(scales[d/32*32+t]) * float64(codes[t*dim+d])
				want, size = want+term, size+math.Abs(term)
			}
			if !near(got, want, float64(n+3)*eps32*size+0x1p-120) {
				return fmt.Errorf("m=%d n=%d dim=%d: [%d, %d] = %v, want %v", m, n, dim, i, d, got, want)
			}
			if !sameBit(got, alone[d]) {
				return fmt.Errorf("m=%d n=%d dim=%d: [%d, %d] = %v among others, %v alone", m, n, dim, i, d, got, alone[d])
			}
		}
	}
	return between("OutputsInt8", acc, before, m, lda, dim)
}

// between reports a change of what lies between the rows of a matrix.
func between(name string, got, before []float32, rows, ld, cols int) error {
	for i := range rows {
		for j := cols; j < ld && i*ld+j < len(got); j++ {
			if bits(got[i*ld+j]) != bits(before[i*ld+j]) {
				return fmt.Errorf("%s wrote between rows %d and %d", name, i, i+1)
			}
		}
	}
	return nil
}
