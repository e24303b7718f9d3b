package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// number returns what a rounded number of the right matrix, or of a block of the left
// one, stands for.
func (r *Rounding) number(code uint16, scale float32) float64 {
	if r.Name == "bf16" {
		return float64(math.Float32frombits(uint32(code) << 16))
	}
	return float64(int16(code)) * float64(scale)
}

// unit returns how far such a number may be from what it was rounded from, whose block
// is at most most in magnitude.
func (r *Rounding) unit(x, most, codes float64) float64 {
	if r.Name == "bf16" {
		return 0x1p-8*math.Abs(x) + 0x1p-126
	}
	return most*(0.5+2e-3)/codes + 0x1p-125
}

func most(x []float32) (m float64) {
	for _, v := range x {
		m = max(m, math.Abs(float64(v)))
	}
	return m
}

// checkRound holds rounded numbers to half a unit, and zeros behind them.
func checkRound(set *Set, rng *rand.Rand) error {
	r := set.Rounding
	if r == nil {
		return nil
	}
	n := rng.IntN(300)
	x := fill(rng, mem[0].floats(n), magnitude(rng))
	k := (n + RoundedBlock) / RoundedBlock * RoundedBlock
	left, scales := asUint16(mem[1].bytes(2*k)), mem[2].floats(k/RoundedBlock)
	for i := range left {
		left[i] = 77
	}
	r.Left(left, scales, x)
	for i, code := range left {
		got, want, block := r.number(code, scales[i/RoundedBlock]), 0.0, i/RoundedBlock*RoundedBlock
		if i < n {
			want = float64(x[i])
		}
		if unit := r.unit(want, most(x[min(n, block):min(n, block+RoundedBlock)]), mostLeft); math.Abs(got-want) > unit {
			return fmt.Errorf("left %d of %d: %v becomes %v, unit %v", i, n, want, got, unit)
		}
	}
	right := asUint16(mem[1].bytes(2 * (n + 7) &^ 7))
	scale := r.Right(right, x)
	for i, v := range x {
		if got := r.number(right[i], scale); math.Abs(got-float64(v)) > r.unit(float64(v), most(x), mostRight) {
			return fmt.Errorf("right %d of %d: %v becomes %v", i, n, v, got)
		}
	}
	return nil
}

// checkRounded compares products with sums in f64 of the same numbers: each term is exact,
// and each f32 operation rounds once; those of integers also with the bits of plain Go.
func checkRounded(set *Set, rng *rand.Rand) error {
	r := set.Rounding
	if r == nil {
		return nil
	}
	m, n, blocks := 1+rng.IntN(2*r.Rows+2), 1+rng.IntN(RoundedColumns), rng.IntN(4)
	if rng.IntN(2) == 0 {
		n = RoundedColumns
	}
	k, whole := blocks*RoundedBlock, (m+r.Rows-1)/r.Rows*r.Rows
	a, scales := asUint16(mem[0].bytes(2*whole*k)), fill(rng, mem[1].floats(whole*blocks), 1)
	b := asUint16(mem[2].bytes(2 * RoundedColumns * k))
	by := float32(0.5 + rng.Float64())
	if r.Name == "bf16" {
		by = 1
		for i := range scales {
			scales[i] = 1
		}
	}
	draw := func(codes []uint16, most int) {
		for i := range codes {
			v := rng.IntN(2*most+1) - most
			if rng.IntN(4) == 0 {
				v = most // sums near their bound
			}
			if codes[i] = uint16(v); r.Name == "bf16" {
				codes[i] = uint16(math.Float32bits(float32(v)) >> 16)
			}
		}
	}
	draw(a, mostLeft)
	draw(b, mostRight)
	pairs := make([]uint32, len(b)/2)
	for i := range pairs {
		pairs[i] = uint32(b[2*i]) | uint32(b[2*i+1])<<16
	}
	acc, ldacc := matrix(rng, &mem[3], m, n, magnitude(rng))
	before := slices.Clone(acc)
	edge := make([]float32, r.Rows*RoundedColumns)
	r.MatMul(acc, ldacc, a, scales, pairs, by, m, n, k, edge)
	same := slices.Clone(before)
	plainly := roundingInt16(code16, 1, tileInt16)
	plainly.MatMul(same, ldacc, a, scales, pairs, by, m, n, k, edge)
	for i := range m {
		for j := range n {
			want := float64(before[i*ldacc+j])
			sum := math.Abs(want)
			for t := range k {
				p := r.number(a[i*k+t], scales[i*blocks+t/RoundedBlock]*by) * r.number(b[j/16*16*k+t/2*32+j%16*2+t%2], 1)
				want += p
				sum += math.Abs(p)
			}
			got := acc[i*ldacc+j]
			if d := math.Abs(float64(got) - want); !(d <= sum*float64(k+4)*eps32+0x1p-125) {
				return fmt.Errorf("m=%d n=%d k=%d: [%d, %d] = %v, want %v", m, n, k, i, j, got, want)
			}
			if r.Name == "i16" && !sameBit(got, same[i*ldacc+j]) {
				return fmt.Errorf("m=%d n=%d k=%d: [%d, %d] = %v, in plain Go %v", m, n, k, i, j, got, same[i*ldacc+j])
			}
		}
	}
	return between("Rounding.MatMul", acc, before, m, ldacc, n)
}
