package plain

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver/fake"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// TestPacked: packed weights are the numbers that stored ones stand for, rounded to f16 (or
// bf16, or 8 bits of their row's greatest).
func TestPacked(t *testing.T) {
	const rows, cols = 11, 512
	scales := map[kernel.Stored][]int{ // where f16 scales are in a block
		kernel.StoredQ8_0: {0}, kernel.StoredQ4_0: {0}, kernel.StoredQ4_1: {0, 2}, kernel.StoredQ4K: {0, 2}, kernel.StoredQ6K: {208},
	}
	for stored, kind := range storedTypes {
		for _, format := range []kernel.Format{stored.Fits(), kernel.F16, kernel.F8} {
			r := rand.New(rand.NewPCG(1, uint64(stored)))
			data := make([]byte, rows*kind.RowBytes(cols))
			for i := range data {
				data[i] = byte(r.Uint32())
			}
			for at := 0; at < len(data); at += kind.BlockBytes() {
				switch kind {
				case tensor.F32:
					binary.LittleEndian.PutUint32(data[at:], math.Float32bits(float32(r.NormFloat64())))
				case tensor.F16:
					binary.LittleEndian.PutUint16(data[at:], tensor.ToHalf(float32(r.NormFloat64())))
				case tensor.BF16:
					binary.LittleEndian.PutUint16(data[at:], uint16(math.Float32bits(float32(r.NormFloat64()))>>16))
				}
				for _, s := range scales[stored] {
					binary.LittleEndian.PutUint16(data[at+s:], tensor.ToHalf(float32(r.Float64()/100)))
				}
			}
			c := New(1 << 24)
			from, _ := c.Alloc(int64(len(data)))
			to, _ := c.Alloc(format.Bytes(rows, cols))
			scale, _ := c.Alloc(4 * 16)
			if err := c.Write(from, data); err != nil {
				t.Fatal(err)
			}
			pack(c, &kernel.Pack{From: from, To: to, Scale: scale, Rows: rows, Cols: cols, Stored: stored, Format: format})
			for i := range rows {
				want := make([]float32, cols)
				quant.Row(want, tensor.Matrix{Type: kind, Rows: rows, Cols: cols, Data: data}, i)
				most := 0.0
				for _, v := range want {
					most = max(most, math.Abs(float64(v)))
				}
				tolerance, by := most/1024, float32(1)
				switch format {
				case kernel.BF16:
					tolerance = most / 128
				case kernel.F8:
					tolerance, by = most/16, fake.Of[float32](c, scale, 16)[i]
				}
				for j, got := range weights(c, to, format, i, cols) {
					if d := math.Abs(float64(got*by - want[j])); !(d <= tolerance) {
						t.Fatalf("%v as format %d: weight %d, %d is %v, want %v", kind, format, i, j, got*by, want[j])
					}
				}
			}
		}
	}
}

// TestE4M3: every code is the nearest of its own number.
func TestE4M3(t *testing.T) {
	for b := range 256 {
		if b&0x7f == 0x7f {
			continue // no number
		}
		if got := ToE4M3(FromE4M3(byte(b))); got != byte(b) && !(b == 0x80 || b == 0) {
			t.Errorf("%#x becomes %#x", b, got)
		}
	}
	if FromE4M3(ToE4M3(1000)) != mostE4M3 || FromE4M3(0x38) != 1 {
		t.Error("the greatest is not 448, or one is not 1")
	}
}
