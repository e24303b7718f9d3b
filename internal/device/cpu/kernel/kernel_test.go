package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// Each check compares one function of a set with f64 arithmetic, or with the
// function's own result for a part of the work, and says what is wrong.
var checks = []struct {
	name string
	run  func(*Set, *rand.Rand) error
}{
	{"Dequantize", checkDequantize},
	{"MatMul", checkMatMul},
	{"MatVec", checkMatVec},
	{"Accumulate", checkAccumulate},
	{"AccumulateHalf", checkAccumulateHalf},
	{"ScoresInt8", checkScoresInt8},
	{"OutputsInt8", checkOutputsInt8},
	{"Code16", checkCode16},
	{"WeightsInt16", checkWeightsInt16},
	{"ScoresInt16", checkScoresInt16},
	{"OutputsInt16", checkOutputsInt16},
	{"Round", checkRound},
	{"Rounded", checkRounded},
	{"Softmax", checkSoftmax},
	{"SoftmaxRows", checkSoftmaxRows},
	{"Merge", checkMerge},
	{"Exp", checkExp},
	{"SwiGLU", checkSwiGLU},
	{"RMSNorm", checkRMSNorm},
	{"Elementwise", checkElementwise},
	{"Quantize", checkQuantize},
	{"MatMulInt8", checkMatMulInt8},
	{"Halves", checkHalves},
}

func TestSets(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 30
	}
	for _, set := range Sets() {
		for _, check := range checks {
			t.Run(set.Name+"/"+check.name, func(t *testing.T) {
				for seed := range rounds {
					if err := check.run(set, rand.New(rand.NewPCG(uint64(seed), 1))); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
				}
			})
		}
	}
}

// TestFaults plants a fault in each function of the plain set and expects its
// check to find it.
func TestFaults(t *testing.T) {
	nudge := func(x *float32) { *x = math.Nextafter32(*x, float32(math.Inf(1))) }
	faults := []struct {
		name, check string
		plant       func(*Set)
	}{
		{"one weight an ulp off", "Dequantize", func(s *Set) {
			s.Dequantize = func(t tensor.Type, dst []float32, src []byte) {
				quant.Dequantize(t, dst, src)
				nudge(&dst[len(dst)-1])
			}
		}},
		{"last element of an odd row dropped", "MatMul", func(s *Set) {
			s.MatMul = func(out []float32, ldo int, x []float32, ldx int, w []float32, ldw int, m, n, k int) {
				matMul(out, ldo, x, ldx, w, ldw, m, n, k&^1)
			}
		}},
		{"other bits for rows in company", "MatMul", func(s *Set) {
			s.MatMul = func(out []float32, ldo int, x []float32, ldx int, w []float32, ldw int, m, n, k int) {
				matMul(out, ldo, x, ldx, w, ldw, m, n, k)
				if m > 1 && n > 0 {
					nudge(&out[0])
				}
			}
		}},
		{"padding overwritten", "MatMul", func(s *Set) {
			s.MatMul = func(out []float32, ldo int, x []float32, ldx int, w []float32, ldw int, m, n, k int) {
				matMul(out, ldo, x, ldx, w, ldw, m, n, k)
				if m > 1 && ldo > n {
					out[n] = 0
				}
			}
		}},
		{"another order of sums", "MatVec", func(s *Set) {
			s.MatVec = func(t tensor.Type, out, x []float32, w []byte, n, k int) {
				row := make([]float32, k)
				for j := range n {
					quant.Dequantize(t, row, w[j*t.RowBytes(k):])
					out[j] = 0
					for i, v := range row {
						out[j] += x[i] * v
					}
				}
			}
		}},
		{"rows added from the last", "Accumulate", func(s *Set) {
			s.Accumulate = func(acc []float32, lda int, p []float32, ldp int, v []float32, ldv int, m, n, dim int) {
				for i := range m {
					for j := range n {
						if m > 1 {
							j = n - 1 - j
						}
						accumulate(acc[i*lda:], lda, p[i*ldp+j:], ldp, v[j*ldv:], ldv, 1, 1, dim)
					}
				}
			}
		}},
		{"last row of halves dropped", "AccumulateHalf", func(s *Set) {
			s.AccumulateHalf = func(acc []float32, lda int, p []float32, ldp int, v []uint16, m, n, dim int, next []uint16) {
				accumulateHalf(acc, lda, p, ldp, v, m, max(0, n-1), dim, next)
			}
		}},
		{"scales of the first elements for all", "ScoresInt8", func(s *Set) {
			s.ScoresInt8 = func(acc []float32, lda int, q []float32, ldq int, codes []int8, scales []float32, m, dim int, next []int8) {
				same := slices.Clone(scales)
				for at := blockColumns; at < len(same); at += blockColumns {
					copy(same[at:], same[:blockColumns])
				}
				scoresInt8(acc, lda, q, ldq, codes, same, m, dim, next)
			}
		}},
		{"last value dropped", "OutputsInt8", func(s *Set) {
			s.OutputsInt8 = func(acc []float32, lda int, p []float32, ldp int, codes []int8, scales []float32, m, n, dim int, next []int8) {
				outputsInt8(acc, lda, p, ldp, codes, scales, m, max(0, n-1), dim, next)
			}
		}},
		{"codes cut off", "Code16", func(s *Set) {
			s.Code16 = func(codes []int16, ldc int, scales, x []float32, ldx int, m, n int, most int16) {
				code16(codes, ldc, scales, x, ldx, m, n, most)
				for i := range m {
					for j := range n {
						codes[i*ldc+j] = codes[i*ldc+j] / 2 * 2
					}
				}
			}
		}},
		{"weights of the block before", "WeightsInt16", func(s *Set) {
			s.WeightsInt16 = func(p []int16, ldp int, scales []float32, ldScales int, x []float32, lds, m, blocks int, factor float32, by, max, sum, acc []float32, dim int) {
				weightsInt16(p, ldp, scales, ldScales, x, lds, m, blocks, factor, by, max, sum, acc, dim)
				if blocks > 1 {
					copy(p[blockColumns:2*blockColumns], p)
				}
			}
		}},
		{"scale of the first row for all", "ScoresInt16", func(s *Set) {
			s.ScoresInt16 = func(out []float32, ldo int, q []int16, ldq int, scales []float32, keys []int16, keyScales []float32, m, dim int, next []int16) {
				for i := range m {
					scoresInt16(out[i*ldo:], ldo, q[i*ldq:], ldq, scales, keys, keyScales, 1, dim, next)
				}
			}
		}},
		{"last pair dropped", "OutputsInt16", func(s *Set) {
			s.OutputsInt16 = func(acc []float32, lda int, p []int16, ldp int, scales []float32, values []int16, m, pairs, dim int, next []int16) {
				outputsInt16(acc, lda, p, ldp, scales, values, m, max(0, pairs-1), dim, next)
			}
		}},
		{"rounded to half as many codes", "Round", func(s *Set) {
			s.Rounding = roundingInt16(func(codes []int16, ldc int, scales, x []float32, ldx int, m, n int, most int16) {
				code16(codes, ldc, scales, x, ldx, m, n, most/2)
			}, 1, tileInt16)
		}},
		{"scale of the first block for all", "Rounded", func(s *Set) {
			s.Rounding = roundingInt16(code16, 1, func(acc []float32, ldacc int, a []uint16, scales []float32, b []uint32, by float32, k int) {
				first := slices.Clone(scales)
				for i := range first {
					first[i] = first[0]
				}
				tileInt16(acc, ldacc, a, first, b, by, k)
			})
		}},
		{"running maximum ignored", "Softmax", func(s *Set) {
			s.Softmax = func(x []float32, scale, max float32) (float32, float32) {
				return softmax(x, scale, float32(math.Inf(-1)))
			}
		}},
		{"accumulators not brought down", "SoftmaxRows", func(s *Set) {
			s.SoftmaxRows = func(x []float32, lds, m, n int, scale float32, max, sum, acc []float32, dim int) {
				plain.SoftmaxRows(x, lds, m, n, scale, max, sum, slices.Clone(acc), dim)
			}
		}},
		{"maxima not compared", "Merge", func(s *Set) {
			s.Merge = func(max, sum, acc, max2, sum2, acc2 []float32, dim int, unit float32, weights []float32) {
				plain.Merge(max, sum, acc, max, sum2, acc2, dim, unit, weights)
			}
		}},
		{"exponential 1e-6 off", "Exp", func(s *Set) {
			s.Softmax = func(x []float32, scale, max float32) (float32, float32) {
				m, sum := softmax(x, scale, max)
				for i := range x {
					x[i] *= 1 + 1e-6
				}
				return m, sum
			}
		}},
		{"gate not multiplied", "SwiGLU", func(s *Set) {
			s.SwiGLU = func(gate, up []float32) {
				for i, g := range gate {
					gate[i] = up[i] / (1 + exp(-g))
				}
			}
		}},
		{"epsilon outside of the root", "RMSNorm", func(s *Set) {
			s.RMSNorm = func(dst, x, w []float32, eps float32) { rmsNorm(dst, x, w, eps*eps) }
		}},
		{"ties away from zero", "Quantize", func(s *Set) {
			s.Quantize = func(q *Quantized, row int, x []float32) {
				quantize(q, row, x)
				codes, blocks := q.rows(row, 1)
				for i := range codes {
					codes[i] = int8(math.Round(float64(x[i] / blocks[i/blockColumns].Scale)))
				}
			}
		}},
		{"last row of weights dropped", "MatMulInt8", func(s *Set) {
			s.MatMulInt8 = func(out []float32, ldo int, q *Quantized, firstRow, rows int, w *Panel, from, to int) {
				less := *w
				less.Rows--
				matMulInt8(out, ldo, q, firstRow, rows, &less, from, to)
			}
		}},
		{"an ulp off for many blocks", "MatMulInt8", func(s *Set) {
			s.MatMulInt8 = func(out []float32, ldo int, q *Quantized, firstRow, rows int, w *Panel, from, to int) {
				matMulInt8(out, ldo, q, firstRow, rows, w, from, to)
				if w.Cols > 2*blockColumns && len(out) > 0 {
					nudge(&out[0])
				}
			}
		}},
		{"halves cut off", "Halves", func(s *Set) {
			s.ToHalf = func(dst []uint16, src []float32) {
				for i, v := range src {
					dst[i] = tensor.ToHalf(math.Float32frombits(bits(v) &^ 0x1fff))
				}
			}
		}},
		{"sine negated", "Elementwise", func(s *Set) {
			s.Rotate = func(x, cos, sin []float32) {
				for i := range sin {
					rotate(x[2*i:2*i+2], cos[i:i+1], []float32{-sin[i]})
				}
			}
		}},
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			set := *plain
			f.plant(&set)
			for _, check := range checks {
				if check.name != f.check {
					continue
				}
				for seed := range 30 {
					if check.run(&set, rand.New(rand.NewPCG(uint64(seed), 1))) != nil {
						return
					}
				}
				t.Fatalf("check %s did not find it", f.check)
			}
		})
	}
}

const eps32 = 0x1p-24 // half the distance of 1 to the next number

// Memory for the arguments of a check.
var mem [6]guard

// magnitudes is what values the checks draw: ordinary ones, tiny ones (subnormal
// products, subnormal values) and big ones.
func magnitude(rng *rand.Rand) float64 {
	return []float64{1, 1, 1, 1e-20, 1e-40, 1e15}[rng.IntN(6)]
}

func fill(rng *rand.Rand, x []float32, scale float64) []float32 {
	for i := range x {
		x[i] = float32(rng.NormFloat64() * scale)
	}
	return x
}

// matrix returns random rows; what stands between them is no number.
func matrix(rng *rand.Rand, g *guard, rows, cols int, scale float64) (x []float32, ld int) {
	ld = cols + rng.IntN(2)*rng.IntN(20)
	if rows == 0 {
		return nil, ld
	}
	x = g.floats((rows-1)*ld + cols)
	for i := range x {
		x[i] = float32(math.NaN())
	}
	for i := range rows {
		fill(rng, x[i*ld:][:cols], scale)
	}
	return x, ld
}

// size draws a size, odd ones as often as multiples of 8.
func size(rng *rand.Rand, most int) int {
	n := rng.IntN(most + 1)
	if rng.IntN(2) == 0 {
		return n &^ 7
	}
	return n
}

func bits(x float32) uint32 { return math.Float32bits(x) }

// near says whether got is within tolerance of want, counting overflow to
// infinity as near where want is out of the range of f32.
func near(got float32, want, tolerance float64) bool {
	if math.Abs(want) > math.MaxFloat32 {
		return math.IsInf(float64(got), 0) || math.IsNaN(float64(got)) || math.Abs(float64(got)-want) <= tolerance
	}
	return math.Abs(float64(got)-want) <= tolerance+0x1p-149
}

// stored returns random blocks whose scales are numbers.
func stored(rng *rand.Rand, g *guard, t tensor.Type, weights int) []byte {
	b := g.bytes(t.RowBytes(weights))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	number := func(at int) { b[at+1] &^= 0x40 } // below 2: finite
	for at := 0; at < len(b); at += t.BlockBytes() {
		switch t {
		case tensor.F32:
			binary.LittleEndian.PutUint32(b[at:], bits(float32(rng.NormFloat64())))
		case tensor.BF16:
			number(at)
		case tensor.F16, tensor.Q4_0, tensor.Q8_0, tensor.Q5_0, tensor.IQ4_NL, tensor.IQ4_XS:
			number(at)
		case tensor.Q4_1, tensor.Q4_K, tensor.Q5_1, tensor.Q5_K:
			number(at)
			number(at + 2)
		case tensor.Q6_K:
			number(at + 208)
		case tensor.Q3_K:
			number(at + 108)
		case tensor.Q2_K:
			number(at + 80)
			number(at + 82)
		case tensor.MXFP4:
			b[at] = 112 + b[at]&31 // 2^-16 … 2^15, which f16 has
		}
	}
	return b
}

func checkDequantize(set *Set, rng *rand.Rand) error {
	for _, t := range types {
		n := rng.IntN(70)
		if t.BlockWeights() > 1 {
			n = rng.IntN(5) * t.BlockWeights()
		}
		if n == 0 {
			continue
		}
		src := stored(rng, &mem[0], t, n)
		got, want := mem[1].floats(n), make([]float32, n)
		set.Dequantize(t, got, src)
		quant.Dequantize(t, want, src)
		for i := range want {
			if bits(got[i]) != bits(want[i]) {
				return fmt.Errorf("%v, %d weights: [%d] = %v, want %v", t, n, i, got[i], want[i])
			}
		}
		if err := checkBlocks(t, src, got); err != nil {
			return err
		}
	}
	return nil
}

// checkBlocks holds weights to the formulas of tensor's constants for the types
// whose formula is one line, in f64.
func checkBlocks(t tensor.Type, src []byte, got []float32) error {
	for i, g := range got {
		b, j := src[i/t.BlockWeights()*t.BlockBytes():], i%t.BlockWeights()
		var want float64
		half := func(b []byte) float64 { return float64(tensor.FromHalf(binary.LittleEndian.Uint16(b))) }
		nibble := func(from int) float64 { return float64(b[from+j%16] >> (j / 16 * 4) & 15) }
		switch t {
		case tensor.Q4_0:
			want = half(b) * (nibble(2) - 8)
		case tensor.Q4_1:
			want = half(b)*nibble(4) + half(b[2:])
		case tensor.Q8_0:
			want = half(b) * float64(int8(b[2+j]))
		default:
			continue
		}
		if float64(g) != float64(float32(want)) {
			return fmt.Errorf("%v: [%d] = %v, want %v", t, i, g, want)
		}
	}
	return nil
}

func checkMatMul(set *Set, rng *rand.Rand) error {
	m, n, k := rng.IntN(10), rng.IntN(20), size(rng, 100)
	x, ldx := matrix(rng, &mem[0], m, k, magnitude(rng))
	w, ldw := matrix(rng, &mem[1], n, k, magnitude(rng))
	out, ldo := matrix(rng, &mem[2], m, n, 1)
	before := slices.Clone(out)
	set.MatMul(out, ldo, x, ldx, w, ldw, m, n, k)
	for at, v := range out {
		i, j := at/ldo, at%ldo
		if j >= n {
			if bits(v) != bits(before[at]) {
				return fmt.Errorf("m=%d n=%d k=%d: wrote between rows %d and %d", m, n, k, i, i+1)
			}
			continue
		}
		var want, size float64
		for c := range k {
			p := float64(x[i*ldx+c]) * float64(w[j*ldw+c])
			want, size = want+p, size+math.Abs(p)
		}
		// k/lanes additions and the fold of the lanes, each rounded once, products
		// at most once.
		if tolerance := float64(k/lanes+8) * eps32 * size; !near(v, want, tolerance+float64(k)*0x1p-149) {
			return fmt.Errorf("m=%d n=%d k=%d: [%d, %d] = %v, want %v ± %v", m, n, k, i, j, v, want, tolerance)
		}
		var alone [1]float32
		set.MatMul(alone[:], 1, x[i*ldx:][:k], ldx, w[j*ldw:][:k], ldw, 1, 1, k)
		if bits(alone[0]) != bits(v) && !(v != v && alone[0] != alone[0]) {
			return fmt.Errorf("m=%d n=%d k=%d: [%d, %d] = %v among others, %v alone", m, n, k, i, j, v, alone[0])
		}
	}
	return nil
}

func checkMatVec(set *Set, rng *rand.Rand) error {
	for _, t := range types {
		n, k := rng.IntN(20), size(rng, 70)
		if t.BlockWeights() > 1 {
			k = rng.IntN(5) * t.BlockWeights()
		}
		if n*k == 0 {
			continue
		}
		w := stored(rng, &mem[0], t, n*k)
		x := fill(rng, mem[1].floats(k), 1)
		got, want, weights := mem[2].floats(n), make([]float32, n), make([]float32, n*k)
		set.MatVec(t, got, x, w, n, k)
		set.Dequantize(t, weights, w)
		set.MatMul(want, n, x, k, weights, k, 1, n, k)
		for j := range want {
			if bits(got[j]) != bits(want[j]) && !(got[j] != got[j] && want[j] != want[j]) {
				return fmt.Errorf("%v, n=%d k=%d: [%d] = %v, want %v as of MatMul", t, n, k, j, got[j], want[j])
			}
		}
	}
	return nil
}

func checkAccumulate(set *Set, rng *rand.Rand) error {
	m, n, dim := rng.IntN(8), rng.IntN(34), size(rng, 140)
	p, ldp := matrix(rng, &mem[0], m, n, magnitude(rng))
	v, ldv := matrix(rng, &mem[1], n, dim, magnitude(rng))
	acc, lda := matrix(rng, &mem[2], m, dim, 1)
	before := slices.Clone(acc)
	set.Accumulate(acc, lda, p, ldp, v, ldv, m, n, dim)
	for i := range m {
		for j := dim; j < lda && i*lda+j < len(acc); j++ {
			if bits(acc[i*lda+j]) != bits(before[i*lda+j]) {
				return fmt.Errorf("m=%d n=%d dim=%d: wrote between rows %d and %d", m, n, dim, i, i+1)
			}
		}
		alone := slices.Clone(before[i*lda:][:dim])
		for j := range n { // one row, one step at a time: the same order
			set.Accumulate(alone, dim, p[i*ldp+j:], ldp, v[j*ldv:], ldv, 1, 1, dim)
		}
		for d := range dim {
			got, want := acc[i*lda+d], float64(before[i*lda+d])
			size := math.Abs(want)
			for j := range n {
				term := float64(p[i*ldp+j]) * float64(v[j*ldv+d])
				want, size = want+term, size+math.Abs(term)
			}
			if tolerance := float64(n+2) * eps32 * size; !near(got, want, tolerance+float64(n)*0x1p-149) {
				return fmt.Errorf("m=%d n=%d dim=%d: [%d, %d] = %v, want %v ± %v", m, n, dim, i, d, got, want, tolerance)
			}
			if bits(got) != bits(alone[d]) && !(got != got && alone[d] != alone[d]) {
				return fmt.Errorf("m=%d n=%d dim=%d: [%d, %d] = %v among others, %v alone", m, n, dim, i, d, got, alone[d])
			}
		}
	}
	return nil
}

// checkAccumulateHalf holds it to the bits of FromHalf and Accumulate.
func checkAccumulateHalf(set *Set, rng *rand.Rand) error {
	m, n, dim := rng.IntN(8), rng.IntN(70), 8*rng.IntN(18)
	p, ldp := matrix(rng, &mem[0], m, n, magnitude(rng))
	acc, lda := matrix(rng, &mem[1], m, dim, 1)
	v, values := asUint16(mem[2].bytes(2*n*dim)), make([]float32, n*dim)
	scale := []float64{1, 1, 1e-6, 1e4}[rng.IntN(4)] // 1e-6: subnormal halves
	for i := range v {
		v[i] = tensor.ToHalf(float32(rng.NormFloat64() * scale))
	}
	set.FromHalf(values, v)
	want := slices.Clone(acc)
	set.Accumulate(want, lda, p, ldp, values, dim, m, n, dim)
	var next []uint16
	if rng.IntN(2) == 0 {
		next = make([]uint16, n*dim)
	}
	set.AccumulateHalf(acc, lda, p, ldp, v, m, n, dim, next)
	for at, got := range acc {
		if !sameBit(got, want[at]) {
			return fmt.Errorf("m=%d n=%d dim=%d: [%d] = %v, want %v as of Accumulate", m, n, dim, at, got, want[at])
		}
	}
	return nil
}

func checkSoftmax(set *Set, rng *rand.Rand) error {
	n := rng.IntN(70)
	scores := fill(rng, mem[0].floats(n), []float64{1, 10, 1000, 1e30}[rng.IntN(4)])
	inf := float32(math.Inf(1))
	if n > 0 && rng.IntN(3) == 0 {
		scores[rng.IntN(n)] = -inf
	}
	if rng.IntN(8) == 0 {
		for i := range scores {
			scores[i] = -inf
		}
	}
	scale := []float32{1, 0.125, 0.3}[rng.IntN(3)]
	max := []float32{-inf, 0, 5, -5}[rng.IntN(4)]
	wantMax := max
	for _, s := range scores {
		if v := scale * s; v > wantMax {
			wantMax = v
		}
	}
	got := fill(rng, mem[1].floats(n), 1)
	copy(got, scores)
	gotMax, gotSum := set.Softmax(got, scale, max)
	if gotMax != wantMax {
		return fmt.Errorf("n=%d: maximum %v, want %v", n, gotMax, wantMax)
	}
	var sum float64
	for j, s := range scores {
		want := 0.0
		if !math.IsInf(float64(s), -1) {
			want = math.Exp(float64(float32(scale*s) - wantMax)) // rounded as the sets do, never fused
		}
		// 2 ulp; what is below 2^-125 may count as 0.
		if !near(got[j], want, 4*eps32*want+0x1p-124) {
			return fmt.Errorf("n=%d scale=%v max=%v: [%d] = exp(%v) = %v, want %v", n, scale, max, j, scale*s-wantMax, got[j], want)
		}
		sum += float64(got[j])
		alone := []float32{s}
		if set.Softmax(alone, scale, wantMax); bits(alone[0]) != bits(got[j]) {
			return fmt.Errorf("n=%d: [%d] = %v among others, %v alone", n, j, got[j], alone[0])
		}
	}
	if math.Abs(float64(gotSum)-sum) > float64(n/lanes+8)*eps32*sum {
		return fmt.Errorf("n=%d: sum %v, want %v", n, gotSum, sum)
	}
	return nil
}

// checkMerge compares with f64 arithmetic, and rows in company with rows alone.
func checkMerge(set *Set, rng *rand.Rand) error {
	m, dim, unit := size(rng, 40), size(rng, 70), []float32{1, math.Ln2}[rng.IntN(2)]
	inf := float32(math.Inf(-1))
	type states struct{ max, sum, acc []float32 }
	draw := func(at int) states {
		s := states{mem[at].floats(m), fill(rng, mem[at+1].floats(m), 1), fill(rng, mem[at+2].floats(m*dim), 1)}
		for i := range s.max {
			if s.max[i] = float32(rng.NormFloat64() * 10); rng.IntN(4) == 0 {
				s.max[i], s.sum[i] = inf, 0
				clear(s.acc[i*dim:][:dim])
			}
		}
		return s
	}
	a, b := draw(0), draw(3)
	old := states{slices.Clone(a.max), slices.Clone(a.sum), slices.Clone(a.acc)}
	set.Merge(a.max, a.sum, a.acc, b.max, b.sum, b.acc, dim, unit, make([]float32, 2*m))
	for i := range m {
		top := max(old.max[i], b.max[i])
		if a.max[i] != top {
			return fmt.Errorf("m=%d: maximum %v, want %v", m, a.max[i], top)
		}
		from := max(float64(top), -math.MaxFloat32)
		was, adds := math.Exp(float64(unit)*(float64(old.max[i])-from)), math.Exp(float64(unit)*(float64(b.max[i])-from))
		check := func(what string, got, x, y float32) error {
			want, size := was*float64(x)+adds*float64(y), was*math.Abs(float64(x))+adds*math.Abs(float64(y))
			if !near(got, want, 1e-5*size+0x1p-120) {
				return fmt.Errorf("m=%d dim=%d: row %d: %s %v, want %v", m, dim, i, what, got, want)
			}
			return nil
		}
		if err := check("sum", a.sum[i], old.sum[i], b.sum[i]); err != nil {
			return err
		}
		for d := range dim {
			if err := check("element", a.acc[i*dim+d], old.acc[i*dim+d], b.acc[i*dim+d]); err != nil {
				return err
			}
		}
		set.Merge(old.max[i:i+1], old.sum[i:i+1], old.acc[i*dim:][:dim], b.max[i:i+1], b.sum[i:i+1], b.acc[i*dim:][:dim], dim, unit, make([]float32, 2))
		if !sameBit(old.sum[i], a.sum[i]) || !slices.EqualFunc(old.acc[i*dim:][:dim], a.acc[i*dim:][:dim], sameBit) {
			return fmt.Errorf("m=%d dim=%d: row %d differs alone", m, dim, i)
		}
	}
	return nil
}

// checkSoftmaxRows holds the rows to Softmax, bit for bit, and what became of
// sums and accumulators to the definition.
func checkSoftmaxRows(set *Set, rng *rand.Rand) error {
	m, n, dim := size(rng, 8), size(rng, 70), size(rng, 40)
	lds := n + rng.IntN(9)
	scores := fill(rng, mem[0].floats(max(0, (m-1)*lds+n)), []float64{1, 10, 1000}[rng.IntN(3)])
	inf := float32(math.Inf(1))
	tops, sums, acc := mem[1].floats(m), fill(rng, mem[2].floats(m), 1), fill(rng, mem[3].floats(m*dim), 1)
	for i := range tops {
		tops[i] = []float32{-inf, 0, 5, 1e4}[rng.IntN(4)]
		if rng.IntN(6) == 0 {
			for j := range n {
				scores[i*lds+j] = -inf
			}
		}
	}
	const scale = 0.125
	gotTops, gotSums, gotAcc := slices.Clone(tops), slices.Clone(sums), slices.Clone(acc)
	s := mem[4].floats(len(scores))
	copy(s, scores)
	set.SoftmaxRows(s, lds, m, n, scale, gotTops, gotSums, gotAcc, dim)
	for i := range m {
		row := scores[i*lds:][:n]
		top, sum := set.Softmax(row, scale, tops[i])
		if gotTops[i] != top {
			return fmt.Errorf("m=%d n=%d: maximum %v, want %v", m, n, gotTops[i], top)
		}
		decay := 1.0
		if top != tops[i] {
			decay = math.Exp(float64(tops[i] - top))
		}
		slack := func(before float32) float64 { return 8*eps32*math.Abs(float64(before)*decay) + 0x1p-124 }
		if want := float64(sums[i])*decay + float64(sum); !near(gotSums[i], want, slack(sums[i])+2*eps32*math.Abs(want)) {
			return fmt.Errorf("m=%d n=%d: sum %v, want %v", m, n, gotSums[i], want)
		}
		for d := range dim {
			before := acc[i*dim+d]
			if got := gotAcc[i*dim+d]; !near(got, float64(before)*decay, slack(before)) || decay == 1 && bits(got) != bits(before) {
				return fmt.Errorf("m=%d n=%d dim=%d: %v becomes %v with a decay of %v", m, n, dim, before, got, decay)
			}
		}
	}
	for j, v := range s { // the gaps between the rows, too
		if bits(v) != bits(scores[j]) {
			return fmt.Errorf("m=%d n=%d: score %d = %v, want %v", m, n, j, v, scores[j])
		}
	}
	return nil
}

// checkExp holds the exponential inside of Softmax to 2 ulp over its range.
func checkExp(set *Set, rng *rand.Rand) error {
	x := mem[0].floats(64)
	for i := range x {
		x[i] = float32(-rng.Float64() * 86)
	}
	x[0] = 0
	got := slices.Clone(x)
	set.Softmax(got, 1, 0)
	for i, v := range x {
		want := math.Exp(float64(v))
		_, exponent := math.Frexp(want)
		if ulps := math.Abs(float64(got[i])-want) / math.Ldexp(1, exponent-24); ulps > 2 {
			return fmt.Errorf("exp(%v) = %v, want %v: %.2f ulp", v, got[i], want, ulps)
		}
	}
	if got[0] != 1 {
		return fmt.Errorf("exp(0) = %v", got[0])
	}
	return nil
}

func checkSwiGLU(set *Set, rng *rand.Rand) error {
	n := size(rng, 70)
	gate := fill(rng, mem[0].floats(n), []float64{1, 20, 200, 1e-20, 1e15, 1e30}[rng.IntN(6)])
	up := fill(rng, mem[1].floats(n), []float64{1, 1e-20, 1e5}[rng.IntN(3)])
	got := mem[2].floats(n)
	copy(got, gate)
	set.SwiGLU(got, up)
	for i, g := range gate {
		want := float64(g) / (1 + math.Exp(-float64(g))) * float64(up[i])
		// exp to 2 ulp, then four roundings. Where exp(-g) is infinite the result is 0.
		if !near(got[i], want, 10*eps32*math.Abs(want)+0x1p-121*math.Abs(float64(up[i]))) {
			return fmt.Errorf("n=%d: [%d] of %v and %v = %v, want %v", n, i, g, up[i], got[i], want)
		}
		alone := []float32{g}
		if set.SwiGLU(alone, up[i:i+1]); bits(alone[0]) != bits(got[i]) {
			return fmt.Errorf("n=%d: [%d] = %v among others, %v alone", n, i, got[i], alone[0])
		}
	}
	return nil
}

func checkRMSNorm(set *Set, rng *rand.Rand) error {
	n := 1 + size(rng, 200)
	x := fill(rng, mem[0].floats(n), []float64{1, 100, 1e-10, 1e15}[rng.IntN(4)])
	w := fill(rng, mem[1].floats(n), 1)
	const eps = 1e-5
	var squares float64
	for _, v := range x {
		squares += float64(v) * float64(v)
	}
	r := 1 / math.Sqrt(squares/float64(n)+float64(float32(eps)))
	want := make([]float64, n)
	for i, v := range x {
		want[i] = float64(v) * r * float64(w[i])
	}
	got := mem[2].floats(n)
	set.RMSNorm(got, x, w, eps)
	set.RMSNorm(x, x, w, eps)
	for i, v := range want {
		// The sum has n/lanes roundings, of which the root halves the error.
		if !near(got[i], v, float64(n/lanes/2+8)*eps32*math.Abs(v)) {
			return fmt.Errorf("n=%d: [%d] = %v, want %v", n, i, got[i], v)
		}
		if bits(x[i]) != bits(got[i]) {
			return fmt.Errorf("n=%d: [%d] = %v in place, %v apart", n, i, x[i], got[i])
		}
	}
	return nil
}

// checkElementwise holds Scale, Add and Rotate to the bits of the plain set: they
// round each operation alone.
func checkElementwise(set *Set, rng *rand.Rand) error {
	n := size(rng, 100)
	x := fill(rng, mem[0].floats(n), magnitude(rng))
	y := fill(rng, mem[1].floats(n), magnitude(rng))
	cos, sin := mem[2].floats(n/2), mem[3].floats(n/2)
	for i := range cos {
		s, c := math.Sincos(rng.Float64() * 10)
		cos[i], sin[i] = float32(c), float32(s)
	}
	want := slices.Clone(x)
	differ := func(what string) error {
		for i := range want {
			if bits(x[i]) != bits(want[i]) {
				return fmt.Errorf("%s, n=%d: [%d] = %v, want %v", what, n, i, x[i], want[i])
			}
		}
		return nil
	}
	scale(want, 0.3)
	set.Scale(x, 0.3)
	if err := differ("Scale"); err != nil {
		return err
	}
	add(want, y)
	set.Add(x, y)
	if err := differ("Add"); err != nil {
		return err
	}
	rotate(want, cos, sin)
	set.Rotate(x, cos, sin)
	return differ("Rotate")
}

func TestNamed(t *testing.T) {
	for _, set := range Sets() {
		if got, err := Named(set.Name); err != nil || got != set {
			t.Errorf("Named(%q) = %v, %v", set.Name, got, err)
		}
	}
	for _, name := range append(slices.Clone(Names), "sse") {
		if slices.ContainsFunc(Sets(), func(s *Set) bool { return s.Name == name }) {
			continue
		}
		reason := "this processor lacks the instructions"
		if name == "sse" {
			reason = "no such set"
		}
		_, err := Named(name)
		if want := fmt.Sprintf("kernels %q: %s; available: ", name, reason); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Named(%q): %v, want %s…", name, err, want)
		}
	}
	if Sets()[len(Sets())-1].Name != "go" || Best() != Sets()[0] {
		t.Error("the plain set is not last or the best not first")
	}
}
