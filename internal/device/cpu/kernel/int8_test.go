package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// codingTypes has a type of each coding.
var codingTypes = [codings]tensor.Type{tensor.Q4_0, tensor.Q4_1, tensor.Q4_K, tensor.Q5_0, tensor.Q5_1, tensor.Q5_K, tensor.Q6_K, tensor.Q8_0}

// randomPanel repacks random blocks of a random type; blocks counts those of 32
// columns at most.
func randomPanel(rng *rand.Rand, rows, blocks int) (tensor.Matrix, *Panel) {
	m := tensor.Matrix{Name: "w", Type: types[rng.IntN(len(types))], Rows: rows, Cols: blocks * blockColumns}
	if weights := m.Type.BlockWeights(); weights > blockColumns {
		m.Cols = (m.Cols + weights - 1) / weights * weights
	}
	m.Data = stored(rng, new(guard), m.Type, m.Rows*m.Cols)
	p, err := Repack(m)
	if err != nil {
		panic(err)
	}
	// The assembly must not read behind the last block.
	data := mem[0].bytes(len(p.data))
	copy(data, p.data)
	p.data = data
	return m, p
}

// TestRepack compares the weights that a panel stands for with the stored ones.
func TestRepack(t *testing.T) {
	for seed := range 100 {
		rng := rand.New(rand.NewPCG(uint64(seed), 2))
		m, p := randomPanel(rng, 1+rng.IntN(40), 1+rng.IntN(9))
		if p.Bytes() != PanelBytes(tensor.Matrix{Type: m.Type, Rows: m.Rows, Cols: m.Cols}) || p.Bytes() != int64(p.Groups()*p.form().groupBytes(p.Cols/blockColumns)) {
			t.Fatalf("%v: %d bytes", m.Type, p.Bytes())
		}
		want := make([]float32, m.Cols)
		for i := range m.Rows {
			quant.Dequantize(m.Type, want, m.Row(i))
			for b := range m.Cols / blockColumns {
				var blk rowBlock
				p.form().get(p.groups(i/GroupRows, i/GroupRows+1), b, i%GroupRows, &blk)
				scales, offset := blk.factors(p.form())
				part := want[b*blockColumns:][:blockColumns]
				var most float64
				for _, v := range part {
					most = max(most, math.Abs(float64(v)))
				}
				var tolerance float64
				switch m.Type {
				case tensor.Q4_0, tensor.Q4_1, tensor.Q4_K, tensor.Q5_0, tensor.Q5_1, tensor.Q5_K, tensor.Q6_K, tensor.Q8_0, tensor.IQ4_NL:
				default: // half a code, and where a scale rounded down cuts the greatest off
					tolerance = most/254*1.001 + 127*math.Max(0x1p-25, most/127*0x1p-11)
				}
				for j, w := range part {
					got := float64(float32(float64(scales[j/16])*float64(int32(blk.codes[j])-p.form().zero) + float64(offset)))
					if math.Abs(got-float64(w)) > tolerance {
						t.Fatalf("%v: [%d, %d] = %v, want %v ± %v", m.Type, i, b*blockColumns+j, got, w, tolerance)
					}
				}
			}
		}
	}
}

func TestRepackRefuses(t *testing.T) {
	f32 := func(v float32) []byte {
		b := make([]byte, 4*32)
		binary.LittleEndian.PutUint32(b[4*7:], bits(v))
		return b
	}
	infiniteScale := make([]byte, 34)
	infiniteScale[1] = 0x7c
	for _, c := range []struct {
		name string
		m    tensor.Matrix
		want string
	}{
		{"columns", tensor.Matrix{Name: "w", Type: tensor.F32, Rows: 1, Cols: 33, Data: make([]byte, 4*33)}, "no multiple of 32"},
		{"too big", tensor.Matrix{Name: "w", Type: tensor.F32, Rows: 1, Cols: 32, Data: f32(1e30)}, "row 0 has a block whose scale"},
		{"infinite", tensor.Matrix{Name: "w", Type: tensor.F32, Rows: 1, Cols: 32, Data: f32(float32(math.Inf(-1)))}, "weight 7 of row 0 is -Inf"},
		{"no number", tensor.Matrix{Name: "w", Type: tensor.F32, Rows: 1, Cols: 32, Data: f32(float32(math.NaN()))}, "weight 7 of row 0 is NaN"},
		{"infinite scale", tensor.Matrix{Name: "w", Type: tensor.Q8_0, Rows: 1, Cols: 32, Data: infiniteScale}, "weight 0 of row 0 is NaN"},
	} {
		if _, err := Repack(c.m); err == nil || !strings.Contains(err.Error(), "w") || errors.Is(err, ErrNoPanel) != (c.name == "columns" || c.name == "too big") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// activations draws what a block may hold: mostly ordinary values, but also
// zeros, subnormal and huge ones, ties, and now and then what is no number.
func activations(rng *rand.Rand, x []float32) []float32 {
	for b := 0; b < len(x); b += blockColumns {
		part := x[b:][:blockColumns]
		switch rng.IntN(8) {
		case 0:
			clear(part)
		case 1:
			fill(rng, part, []float64{1e-44, 1e-40, 1e-37, 1e-30, 1e30}[rng.IntN(5)])
		case 2: // codes and halves of codes: the scale is 1
			for i := range part {
				part[i] = float32(rng.IntN(509)-254) / 2
			}
			part[rng.IntN(blockColumns)] = 127
		case 3: // the greatest codes only
			for i := range part {
				part[i] = []float32{-2, 2}[rng.IntN(2)]
			}
		case 4:
			fill(rng, part, 1)
			if rng.IntN(10) == 0 {
				part[rng.IntN(blockColumns)] = []float32{float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}[rng.IntN(3)]
			}
		default:
			fill(rng, part, 1)
		}
	}
	return x
}

// quantized returns random rows in memory behind which nothing can be read.
func quantized(rng *rand.Rand, set *Set, rows, cols int) *Quantized {
	blocks := rows * cols / blockColumns
	q := &Quantized{Rows: rows, Cols: cols, Q: asInt8(mem[2].bytes(rows * cols)), Blocks: asBlocks(mem[3].bytes(12 * blocks))}
	x := make([]float32, cols)
	for i := range rows {
		set.Quantize(q, i, activations(rng, x))
	}
	return q
}

func checkQuantize(set *Set, rng *rand.Rand) error {
	rows, cols := 1+rng.IntN(3), blockColumns*(1+rng.IntN(6))
	q := quantized(rng, set, rows, cols)
	x := activations(rng, mem[1].floats(cols))
	row := rng.IntN(rows)
	var want Quantized
	want.Resize(1, cols)
	quantize(&want, 0, x)
	others := slices.Clone(q.Q)
	set.Quantize(q, row, x)
	codes, blocks := q.rows(row, 1)
	for i, c := range q.Q {
		if i/cols != row && c != others[i] {
			return fmt.Errorf("row %d: wrote to row %d", row, i/cols)
		}
	}
	for i, c := range codes {
		if c != want.Q[i] {
			return fmt.Errorf("[%d]: %v becomes %d, want %d", i, x[i], c, want.Q[i])
		}
	}
	for b, blk := range blocks {
		expected := want.Blocks[b]
		part := x[b*blockColumns:][:blockColumns]
		if !sameBit(blk.Scale, expected.Scale) || !sameBit(blk.Total, expected.Total) || blk.Sums != expected.Sums {
			return fmt.Errorf("block %v: %v, want %v", part, blk, expected)
		}
		// The definition in f64: the codes' sum, and half a code of error. Where the
		// greatest is no number, so is the scale.
		var most float64
		var codeSums [2]int16
		for i, v := range part {
			most = math.Max(most, math.Abs(float64(v)))
			codeSums[i/16] += int16(codes[b*blockColumns+i])
		}
		if math.IsInf(most, 0) || math.IsNaN(most) {
			if blk.Scale == blk.Scale {
				return fmt.Errorf("block %v: scale %v", part, blk.Scale)
			}
			continue
		}
		if codeSums != blk.Sums {
			return fmt.Errorf("block %v: sums %d, want %d", part, blk.Sums, codeSums)
		}
		for i, v := range part {
			got := float64(blk.Scale) * float64(codes[b*blockColumns+i])
			if math.Abs(got-float64(v)) > most/254*1.0001+128*0x1p-126 {
				return fmt.Errorf("[%d]: %v becomes %v, greatest %v", i, v, got, most)
			}
		}
	}
	return nil
}

// sameBit says whether a and b have the same bits or are both no number.
func sameBit(a, b float32) bool { return bits(a) == bits(b) || a != a && b != b }

func checkMatMulInt8(set *Set, rng *rand.Rand) error {
	rows := 1 + rng.IntN(70)
	_, p := randomPanel(rng, rows, 1+rng.IntN(6))
	from := rng.IntN(p.Groups() + 1)
	to := from + rng.IntN(p.Groups()-from+1)
	n := max(0, min(to*GroupRows, rows)-from*GroupRows)
	q := quantized(rng, set, 1+rng.IntN(40), p.Cols)
	first := rng.IntN(q.Rows)
	m := rng.IntN(q.Rows - first + 1)
	if m == 0 || n == 0 {
		set.MatMulInt8(nil, 0, q, first, m, p, from, to)
		return nil
	}
	out, ldo := matrix(rng, &mem[1], m, n, 1)
	before, want := slices.Clone(out), make([]float32, m*n)
	set.MatMulInt8(out, ldo, q, first, m, p, from, to)
	matMulInt8(want, n, q, first, m, p, from, to)
	what := fmt.Sprintf("coding %d, rows %d+%d of %d, groups %d…%d of %d rows", p.coding, first, m, q.Rows, from, to, rows)
	for at, v := range out {
		i, j := at/ldo, at%ldo
		if j >= n {
			if bits(v) != bits(before[at]) {
				return fmt.Errorf("%s: wrote between rows %d and %d", what, i, i+1)
			}
			continue
		}
		if !sameBit(v, want[i*n+j]) {
			return fmt.Errorf("%s: [%d, %d] = %v, want %v", what, i, j, v, want[i*n+j])
		}
		if err := checkInt8Value(q, p, first+i, from*GroupRows+j, v); err != nil {
			return fmt.Errorf("%s: [%d, %d]: %v", what, i, j, err)
		}
	}
	i, g := rng.IntN(m), from+rng.IntN(to-from)
	var alone [GroupRows]float32
	set.MatMulInt8(alone[:], GroupRows, q, first+i, 1, p, g, g+1)
	for r := range min(GroupRows, rows-g*GroupRows) {
		if v := out[i*ldo+(g-from)*GroupRows+r]; !sameBit(v, alone[r]) {
			return fmt.Errorf("%s: row %d of group %d = %v among others, %v alone", what, r, g, v, alone[r])
		}
	}
	return nil
}

// TestMatMulInt8FewRows holds every number of rows around the heights of tiles to plain Go,
// in every coding.
func TestMatMulInt8FewRows(t *testing.T) {
	for coding, weights := range codingTypes {
		rng := rand.New(rand.NewPCG(uint64(coding), 17))
		w := tensor.Matrix{Name: "w", Type: weights, Rows: 3*GroupRows + 5, Cols: 512}
		w.Data = stored(rng, new(guard), w.Type, w.Rows*w.Cols)
		p, err := Repack(w)
		if err != nil {
			t.Fatal(err)
		}
		for _, set := range Sets() {
			for rows := 1; rows <= 17; rows++ {
				q := quantized(rng, set, rows, w.Cols)
				got, want := make([]float32, rows*w.Rows), make([]float32, rows*w.Rows)
				set.MatMulInt8(got, w.Rows, q, 0, rows, p, 0, p.Groups())
				matMulInt8(want, w.Rows, q, 0, rows, p, 0, p.Groups())
				for i, v := range want {
					if !sameBit(got[i], v) {
						t.Fatalf("%s, %v, %d rows: [%d, %d] = %v, want %v", set.Name, w.Type, rows, i/w.Rows, i%w.Rows, got[i], v)
					}
				}
			}
		}
	}
}

// checkInt8Value holds a product to f64 arithmetic on what the codes stand for.
func checkInt8Value(q *Quantized, p *Panel, i, j int, got float32) error {
	codes, blocks := q.rows(i, 1)
	var want, size float64
	for b := range blocks {
		var blk rowBlock
		p.form().get(p.groups(j/GroupRows, j/GroupRows+1), b, j%GroupRows, &blk)
		scales, minimum := blk.factors(p.form())
		offset, zero := float64(minimum), p.form().zero
		for c, u := range blk.codes {
			scale := float64(scales[c/16])
			x := float64(blocks[b].Scale) * float64(codes[b*blockColumns+c])
			want += x * (scale*float64(int32(u)-zero) + offset)
			size += math.Abs(x) * (math.Abs(scale*float64(int32(u)-zero)) + math.Abs(offset))
		}
	}
	if got != got && want != want {
		return nil
	}
	// Two additions a block and the roundings of their terms.
	if tolerance := float64(2*len(blocks)+4) * eps32 * size; !near(got, want, tolerance+float64(len(blocks))*0x1p-140) {
		return fmt.Errorf("%v, want %v ± %v", got, want, tolerance)
	}
	return nil
}

// TestInt8Heights holds each coding's tiles of each height to the plain product:
// random sizes reach some of them seldom.
func TestInt8Heights(t *testing.T) {
	const cols, groups, most = 512, 2, 2*16 - 1 // the tallest tile of any set has 16 rows
	rng := rand.New(rand.NewPCG(3, 1))
	for _, kind := range codingTypes {
		const n = groups * GroupRows
		p, err := Repack(tensor.Matrix{Type: kind, Rows: n, Cols: cols, Data: stored(rng, new(guard), kind, n*cols)})
		if err != nil {
			t.Fatal(err)
		}
		var q Quantized
		q.Resize(most, cols)
		x := make([]float32, cols)
		for i := range q.Rows {
			plain.Quantize(&q, i, fill(rng, x, 1))
		}
		for m := 1; m <= most; m++ {
			want := make([]float32, m*n)
			matMulInt8(want, n, &q, 0, m, p, 0, groups)
			for _, set := range Sets() {
				got := make([]float32, m*n)
				set.MatMulInt8(got, n, &q, 0, m, p, 0, groups)
				sameBits(t, fmt.Sprintf("%s %v, %d rows", set.Name, kind, m), got, want)
			}
		}
	}
}

// TestInt8Extremes multiplies the greatest codes by the greatest: no sum on the
// way may saturate.
func TestInt8Extremes(t *testing.T) {
	const cols = 256
	x := make([]float32, cols)
	var q Quantized
	q.Resize(4, cols)
	for _, kind := range codingTypes {
		for _, pattern := range []byte{0x00, 0x80, 0x7f, 0xff, 0x88} {
			m := tensor.Matrix{Type: kind, Rows: GroupRows, Cols: cols, Data: make([]byte, GroupRows*kind.RowBytes(cols))}
			for i := range m.Data {
				m.Data[i] = pattern
				at, offset := i%kind.BlockBytes(), kind == tensor.Q4_1 || kind == tensor.Q5_1 || kind == tensor.Q4_K || kind == tensor.Q5_K
				if at < 2 && kind != tensor.Q6_K || at < 4 && offset || at >= 208 && kind == tensor.Q6_K {
					m.Data[i] = 0x3c
				}
			}
			p, err := Repack(m)
			if err != nil {
				t.Fatal(err)
			}
			for _, sign := range []float32{1, -1} {
				for i := range x {
					x[i] = 127 * sign
				}
				for _, set := range Sets() {
					for i := range q.Rows {
						set.Quantize(&q, i, x)
					}
					got, want := make([]float32, 4*GroupRows), make([]float32, 4*GroupRows)
					set.MatMulInt8(got, GroupRows, &q, 0, 4, p, 0, 1)
					matMulInt8(want, GroupRows, &q, 0, 4, p, 0, 1)
					sameBits(t, fmt.Sprintf("%s %v %02x", set.Name, kind, pattern), got, want)
				}
			}
		}
	}
}

// TestInt8Allocates holds that a steady state allocates nothing.
func TestInt8Allocates(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	_, p := randomPanel(rng, 40, 4)
	x := random(p.Cols)
	out := make([]float32, 7*40)
	for _, set := range Sets() {
		var q Quantized
		if n := testing.AllocsPerRun(10, func() {
			q.Resize(7, p.Cols)
			for i := range q.Rows {
				set.Quantize(&q, i, x)
			}
			set.MatMulInt8(out, 40, &q, 0, 7, p, 0, p.Groups())
		}); n != 0 {
			t.Errorf("%s: %v allocations", set.Name, n)
		}
	}
}
