package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"unsafe"
)

func asInt16(b []byte) []int16 {
	return unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/2)
}

// codes16 draws n codes of at most most in magnitude, which ends at a page that cannot
// be touched.
func codes16(rng *rand.Rand, g *guard, n int, most int16) []int16 {
	codes := asInt16(g.bytes(2 * n))
	for i := range codes {
		codes[i] = int16(rng.IntN(2*int(most)+1) - int(most))
		if rng.IntN(8) == 0 {
			codes[i] = most // sums near their bound
		}
	}
	return codes
}

// checkCode16 holds codes to half a unit of f64 arithmetic and to the bits of plain Go.
func checkCode16(set *Set, rng *rand.Rand) error {
	m, n, most := rng.IntN(6), size(rng, 70), int16(1+rng.IntN(16383))
	x, ldx := matrix(rng, &mem[0], m, n, magnitude(rng))
	if m > 0 && n > 0 {
		switch rng.IntN(6) {
		case 0:
			x[rng.IntN(n)] = float32(math.Inf(-1))
		case 1:
			x[rng.IntN(n)] = float32(math.NaN())
		case 2:
			clear(x[:n])
		}
	}
	wide := (n + 7) &^ 7
	ldc := wide + rng.IntN(9)
	codes := asInt16(mem[2].bytes(2 * max(0, (m-1)*ldc+wide)))
	for i := range codes {
		codes[i] = -7
	}
	want, scales, wantScales := slices.Clone(codes), mem[3].floats(m), make([]float32, m)
	set.Code16(codes, ldc, scales, x, ldx, m, n, most)
	code16(want, ldc, wantScales, x, ldx, m, n, most)
	for i := range m {
		for j := range n {
			value, scale := float64(x[i*ldx+j]), float64(scales[i])
			if diff := math.Abs(scale*float64(codes[i*ldc+j]) - value); scale > 0 && diff > scale*(0.5+2e-3) {
				return fmt.Errorf("m=%d n=%d most=%d: [%d, %d] = %v codes of %v, want %v", m, n, most, i, j, codes[i*ldc+j], scale, value)
			}
		}
		if !sameBit(scales[i], wantScales[i]) {
			return fmt.Errorf("m=%d n=%d most=%d: scale %d = %v, want %v", m, n, most, i, scales[i], wantScales[i])
		}
	}
	for i := range codes {
		if codes[i] != want[i] {
			return fmt.Errorf("m=%d n=%d ldc=%d most=%d: code %d = %d, want %d", m, n, ldc, most, i, codes[i], want[i])
		}
	}
	return nil
}

// checkWeightsInt16 compares with f64 arithmetic, and rows in company with rows alone.
func checkWeightsInt16(set *Set, rng *rand.Rand) error {
	m, blocks, dim := rng.IntN(6), 1+rng.IntN(4), size(rng, 40)
	n := blocks * blockColumns
	s, lds := matrix(rng, &mem[0], m, n, []float64{1, 10, 100}[rng.IntN(3)])
	by := fill(rng, mem[1].floats(n), 1)
	for j := range by {
		by[j] *= by[j] // scales are positive
		if rng.IntN(8) == 0 {
			by[j] = 0
		}
	}
	inf := math.Inf(-1)
	top, sum, acc := fill(rng, mem[2].floats(m), 10), fill(rng, mem[3].floats(m), 1), fill(rng, mem[4].floats(m*dim), 1)
	for i := range m {
		if rng.IntN(3) == 0 {
			top[i] = float32(inf)
		}
		for j := 1 + rng.IntN(n); j < n && rng.IntN(2) == 0; j++ {
			s[i*lds+j] = float32(inf)
		}
	}
	const factor = 0.18
	ldp, ldScales := n+rng.IntN(9), m+rng.IntN(3)
	p, scales := asInt16(mem[5].bytes(2*max(0, (m-1)*ldp+n))), make([]float32, blocks*ldScales)
	oldTop, oldSum, oldAcc := slices.Clone(top), slices.Clone(sum), slices.Clone(acc)
	set.WeightsInt16(p, ldp, scales, ldScales, s, lds, m, blocks, factor, by, top, sum, acc, dim)
	for i := range m {
		row, highest := s[i*lds:][:n], oldTop[i]
		for _, v := range row {
			highest = max(highest, factor*v)
		}
		if top[i] != highest {
			return fmt.Errorf("m=%d blocks=%d: maximum %v, want %v", m, blocks, top[i], highest)
		}
		decay, total := math.Exp2(float64(oldTop[i]-highest)), 0.0
		for j, v := range row {
			w := math.Exp2(float64(v)*factor32(factor) - float64(highest))
			total += w
			scale := float64(scales[j/blockColumns*ldScales+i])
			got, want := scale*float64(p[i*ldp+j]), w*float64(by[j])
			if math.Abs(got-want) > 0.501*scale+2e-5*want+0x1p-120 {
				return fmt.Errorf("m=%d blocks=%d: weight [%d, %d] = %v, want %v, scale %v", m, blocks, i, j, got, want, scale)
			}
			if scale > 0x1p-100 && j%blockColumns == 0 && slices.Max(p[i*ldp+j:][:blockColumns]) < MostWeight-1 {
				return fmt.Errorf("m=%d blocks=%d: the largest code of row %d, block %d is %d", m, blocks, i, j/blockColumns, slices.Max(p[i*ldp+j:][:blockColumns]))
			}
		}
		want := float64(oldSum[i])*decay + total
		if !near(sum[i], want, 2e-5*(math.Abs(float64(oldSum[i])*decay)+total)+0x1p-110) {
			return fmt.Errorf("m=%d blocks=%d: sum %v, want %v", m, blocks, sum[i], want)
		}
		for d := range dim {
			if got, want := acc[i*dim+d], float64(oldAcc[i*dim+d])*decay; !near(got, want, 2e-5*math.Abs(want)+0x1p-110) {
				return fmt.Errorf("m=%d dim=%d: %v becomes %v with a decay of %v", m, dim, oldAcc[i*dim+d], got, decay)
			}
		}
		alone, aloneScales := make([]int16, n), make([]float32, blocks)
		set.WeightsInt16(alone, n, aloneScales, 1, row, n, 1, blocks, factor, by, oldTop[i:], oldSum[i:], oldAcc[i*dim:], dim)
		if !slices.Equal(alone, p[i*ldp:][:n]) || !sameBit(oldSum[i], sum[i]) {
			return fmt.Errorf("m=%d blocks=%d: row %d differs alone", m, blocks, i)
		}
	}
	return nil
}

// factor32 returns the f32 nearest to f.
func factor32(f float64) float64 { return float64(float32(f)) }

// next16 returns something to prefetch for codes, or nothing.
func next16(rng *rand.Rand, codes []int16) []int16 {
	if rng.IntN(2) == 0 {
		return nil
	}
	return make([]int16, len(codes))
}

// checkScoresInt16 compares with exact sums in int64, and with the bits of plain Go.
func checkScoresInt16(set *Set, rng *rand.Rand) error {
	const keys = blockColumns
	m, dim := rng.IntN(15), 2*(1+rng.IntN(60))
	most := int16(min(16383, math.MaxInt32/(dim*4095)))
	ldq := dim + rng.IntN(9)
	q := codes16(rng, &mem[0], max(0, (m-1)*ldq+dim), most)
	k := codes16(rng, &mem[1], dim*keys, 4095)
	scales, keyScales := fill(rng, mem[2].floats(m), 1), fill(rng, mem[3].floats(keys), magnitude(rng))
	out, ldo := matrix(rng, &mem[4], m, keys, 1)
	before, want := slices.Clone(out), slices.Clone(out)
	set.ScoresInt16(out, ldo, q, ldq, scales, k, keyScales, m, dim, next16(rng, k))
	scoresInt16(want, ldo, q, ldq, scales, k, keyScales, m, dim, nil)
	for i := range m {
		for t := range keys {
			var sum int64
			for d := range dim {
				sum += int64(q[i*ldq+d]) * int64(k[KeyInt16(t, d, dim)])
			}
			exact := float64(sum) * float64(keyScales[t]) * float64(scales[i])
			if got := out[i*ldo+t]; !near(got, exact, 4*eps32*math.Abs(exact)+0x1p-125) {
				return fmt.Errorf("m=%d dim=%d: [%d, %d] = %v, want %v", m, dim, i, t, got, exact)
			} else if !sameBit(got, want[i*ldo+t]) {
				return fmt.Errorf("m=%d dim=%d: [%d, %d] = %v, in plain Go %v", m, dim, i, t, got, want[i*ldo+t])
			}
		}
	}
	return between("ScoresInt16", out, before, m, ldo, keys)
}

// checkOutputsInt16 does the same for sums of values.
func checkOutputsInt16(set *Set, rng *rand.Rand) error {
	m, pairs, dim := rng.IntN(15), rng.IntN(17), 8*(1+rng.IntN(19))
	ldp := 2*pairs + rng.IntN(9)
	p := codes16(rng, &mem[0], max(0, (m-1)*ldp+2*pairs), 16383)
	v := codes16(rng, &mem[1], blockColumns*dim, 4095)
	scales := fill(rng, mem[2].floats(m), magnitude(rng))
	acc, lda := matrix(rng, &mem[4], m, dim, 1)
	before, want := slices.Clone(acc), slices.Clone(acc)
	set.OutputsInt16(acc, lda, p, ldp, scales, v, m, pairs, dim, next16(rng, v))
	outputsInt16(want, lda, p, ldp, scales, v, m, pairs, dim, nil)
	for i := range m {
		for d := range dim {
			var sum int64
			for t := range 2 * pairs {
				sum += int64(p[i*ldp+t]) * int64(v[ValueInt16(t, d, dim)])
			}
			old, term := float64(before[i*lda+d]), float64(sum)*float64(scales[i])
			if got := acc[i*lda+d]; !near(got, old+term, 4*eps32*(math.Abs(old)+math.Abs(term))+0x1p-125) {
				return fmt.Errorf("m=%d pairs=%d dim=%d: [%d, %d] = %v, want %v", m, pairs, dim, i, d, got, old+term)
			} else if !sameBit(got, want[i*lda+d]) {
				return fmt.Errorf("m=%d pairs=%d dim=%d: [%d, %d] = %v, in plain Go %v", m, pairs, dim, i, d, got, want[i*lda+d])
			}
		}
	}
	return between("OutputsInt16", acc, before, m, lda, dim)
}
