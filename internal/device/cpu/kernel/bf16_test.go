//go:build amd64

package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// bf16Sets are the sets that multiply in bf16.
func bf16Sets(t *testing.T) (sets []*Set) {
	for _, s := range Sets() {
		if s.MatMulBF16 != nil {
			sets = append(sets, s)
		}
	}
	if sets == nil {
		t.Skip("this processor has no AMX")
	}
	return sets
}

func fromBF16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// TestBF16Of holds the plain rounding to the definition, around each number of bf16
// and around the middle of each two.
func TestBF16Of(t *testing.T) {
	for i := uint32(0x80); i < 0x7f7f; i++ { // the normal numbers
		for _, sign := range []uint32{0, 0x8000} {
			h := uint16(i | sign)
			middle := math.Float32frombits(uint32(h)<<16 | 0x8000)
			for _, c := range []struct {
				x    float32
				want uint16
			}{
				{fromBF16(h), h},
				{middle, h + h&1},
				{math.Float32frombits(bits(middle) - 1), h},
				{math.Float32frombits(bits(middle) + 1), h + 1},
			} {
				if got := bf16Of(c.x); got != c.want {
					t.Fatalf("%v becomes %04x, want %04x", c.x, got, c.want)
				}
			}
		}
	}
}

// TestToBF16 compares with the plain rounding, which it must equal to the bit.
func TestToBF16(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, 4096+7)
	for i := range x {
		x[i] = math.Float32frombits(r.Uint32()) // infinities and no numbers among them
	}
	x[0], x[1], x[2] = float32(math.Inf(-1)), math.Float32frombits(0x7fffffff), math.MaxFloat32
	for _, s := range bf16Sets(t) {
		for _, n := range []int{0, 1, 15, 16, 17, len(x)} {
			got := make([]uint16, n+1)
			s.ToBF16(got, x[:n])
			for i, v := range x[:n] {
				if want := bf16Of(v); got[i] != want {
					t.Fatalf("%s: %v (%08x) becomes %04x, want %04x", s.Name, v, bits(v), got[i], want)
				}
			}
			if got[n] != 0 {
				t.Errorf("%s: wrote behind the end", s.Name)
			}
		}
	}
}

// TestMatMulBF16 compares with sums in float64 of the same numbers: k terms, each
// rounded when it is added, are within k·2^-24 of the sum of their magnitudes.
func TestMatMulBF16(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	some := func() uint16 { return bf16Of(float32(r.NormFloat64())) }
	for _, s := range bf16Sets(t) {
		for _, k := range []int{0, 32, 64, 576} {
			lda, ldacc := k+32, 40
			a, b := make([]uint16, 31*lda+k), make([]uint32, 16*k)
			acc := make([]float32, 31*ldacc+32+1)
			for i := range a {
				a[i] = some()
			}
			for i := range b {
				b[i] = uint32(some())<<16 | uint32(some())
			}
			for i := range acc {
				acc[i] = float32(r.NormFloat64())
			}
			before := append([]float32(nil), acc...)
			s.MatMulBF16(acc, ldacc, a, lda, b, k)
			for i, got := range acc {
				row, column := i/ldacc, i%ldacc
				if column >= 32 || row >= 32 {
					if got != before[i] {
						t.Fatalf("%s: element %d, %d outside was written", s.Name, row, column)
					}
					continue
				}
				want, most := float64(before[i]), math.Abs(float64(before[i]))
				for j := range k {
					pair := b[column/16*8*k+j/2*16+column%16]
					p := float64(fromBF16(a[row*lda+j])) * float64(fromBF16(uint16(pair>>(j%2*16))))
					want += p
					most += math.Abs(p)
				}
				if d := math.Abs(float64(got) - want); !(d <= most*float64(k+1)*0x1p-24) {
					t.Fatalf("%s, k %d: element %d, %d is %v, want %v", s.Name, k, row, column, got, want)
				}
			}
		}
	}
}
