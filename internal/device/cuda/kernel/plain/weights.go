package plain

import (
	"math"
	"math/rand/v2"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/device/cuda/driver/fake"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// unit is how many columns are packed together.
const unit = 64

// Packed weights lie here row by row in units of 64 columns, each in as many bytes as the
// card's take: codes, and behind them scales. Their numbers are those of the card's.
func perUnit(f kernel.Format) int { return int(f.Bytes(8, unit)) / 8 }

// unitAt returns the bytes of a unit of a row.
func unitAt(c *fake.Card, at driver.Ptr, f kernel.Format, cols, r, u int) []byte {
	n := perUnit(f)
	return c.Bytes(at+driver.Ptr((r*units(cols)+u)*n), n)
}

func units(cols int) int { return (cols + unit - 1) / unit }

var storedTypes = map[kernel.Stored]tensor.Type{
	kernel.StoredF32: tensor.F32, kernel.StoredF16: tensor.F16, kernel.StoredBF16: tensor.BF16, kernel.StoredQ8_0: tensor.Q8_0,
	kernel.StoredQ4_0: tensor.Q4_0, kernel.StoredQ4_1: tensor.Q4_1, kernel.StoredQ4K: tensor.Q4_K, kernel.StoredQ6K: tensor.Q6_K,
}

// stored returns a row of stored weights.
func stored(c *fake.Card, at driver.Ptr, t kernel.Stored, r, cols int) []float32 {
	kind := storedTypes[t]
	n := kind.RowBytes(cols)
	numbers := make([]float32, cols)
	quant.Row(numbers, tensor.Matrix{Type: kind, Rows: 1, Cols: cols, Data: c.Bytes(at+driver.Ptr(r*n), n)}, 0)
	return numbers
}

// pack keeps f16 of what products read, and for F8 the codes' numbers. Quantised formats are
// kept as f16 of the numbers too, if that fits, else as rounded codes.
func pack(c *fake.Card, p *kernel.Pack) {
	rows := int(p.Rows+7) / 8 * 8
	cols := int(p.Cols)
	for i := range rows {
		r := int(p.First) + i
		numbers := make([]float32, units(cols)*unit)
		raw := []byte(nil)
		if i < int(p.Rows) {
			copy(numbers, stored(c, p.From, p.Stored, i, cols))
			n := storedTypes[p.Stored].RowBytes(cols)
			raw = c.Bytes(p.From+driver.Ptr(i*n), n)
		}
		scale := float32(1)
		if p.Format == kernel.F8 {
			scale = scaleF8(numbers)
			fake.Of[float32](c, p.Scale, r+1)[r] = scale
		}
		for u := range units(cols) {
			to, from := unitAt(c, p.To, p.Format, cols, r, u), numbers[u*unit:(u+1)*unit]
			switch p.Format {
			case kernel.F16, kernel.BF16:
				for j, v := range from {
					h := toHalf(v, kindOf(p.Format))
					to[2*j], to[2*j+1] = byte(h), byte(h>>8)
				}
			case kernel.F8:
				for j, v := range from {
					to[j] = ToE4M3(v / scale)
				}
			default:
				codes(to, p.Format, p.Stored, raw, u, cols, from)
			}
		}
	}
}

// weights returns a row of packed weights as products see it.
func weights(c *fake.Card, at driver.Ptr, f kernel.Format, r, cols int) []float32 {
	out := make([]float32, 0, units(cols)*unit)
	for u := range units(cols) {
		from := unitAt(c, at, f, cols, r, u)
		switch f {
		case kernel.F16, kernel.BF16:
			for j := range unit {
				out = append(out, fromHalf(uint16(from[2*j])|uint16(from[2*j+1])<<8, kindOf(f)))
			}
		case kernel.F8:
			for j := range unit {
				out = append(out, FromE4M3(from[j]))
			}
		default:
			out = append(out, decode(f, from)...)
		}
	}
	return out[:cols]
}

// expand writes f16 rows as pack does for F16.
func expand(c *fake.Card, p *kernel.Expand) {
	rows := int(p.Rows+7) / 8 * 8
	for r := range rows {
		numbers := weights(c, p.From, p.Format, r, units(int(p.Cols))*unit)
		for u := range units(int(p.Cols)) {
			to := unitAt(c, p.To, kernel.F16, int(p.Cols), r, u)
			for j, v := range numbers[u*unit : (u+1)*unit] {
				h := tensor.ToHalf(v)
				to[2*j], to[2*j+1] = byte(h), byte(h>>8)
			}
		}
	}
}

// scaleF8 returns by what a row is divided before it is rounded to e4m3: the scale of the
// smallest error of 16, from that at which the greatest of the row is the greatest of e4m3.
func scaleF8(numbers []float32) float32 {
	most := float32(0)
	for _, v := range numbers {
		most = max(most, float32(math.Abs(float64(v))))
	}
	if most == 0 {
		return 1
	}
	least := most / mostE4M3
	scale, smallest := least, float32(math.Inf(1))
	for i := range 16 {
		s, e := least*(1+float32(i)/16), float32(0)
		for _, v := range numbers {
			d := FromE4M3(ToE4M3(v/s))*s - v
			e += d * d
		}
		if e < smallest {
			scale, smallest = s, e
		}
	}
	return scale
}

// mostE4M3 is the greatest number of e4m3.
const mostE4M3 = 448

// FromE4M3 returns the number that 8 bits stand for.
func FromE4M3(b byte) float32 {
	sign := float32(1)
	if b&0x80 != 0 {
		sign = -1
	}
	e, f := int(b>>3&15), float32(b&7)
	if e == 0 {
		return sign * f / 512
	}
	return sign * float32(math.Ldexp(float64(1+f/8), e-7))
}

// ToE4M3 rounds to the nearest, ties to even; what is too great becomes the greatest.
func ToE4M3(v float32) byte {
	sign := byte(0)
	if math.Signbit(float64(v)) {
		sign, v = 0x80, -v
	}
	best, code := math.Inf(1), byte(0)
	for b := range byte(0x7f) {
		d := math.Abs(float64(FromE4M3(b)) - float64(v))
		if d < best || d == best && b&1 == 0 {
			best, code = d, b
		}
	}
	return sign | code
}

// random fills memory with numbers of a normal distribution. They are not the card's.
func random(c *fake.Card, p *kernel.Random) {
	r := rand.New(rand.NewPCG(p.Seed, 1))
	for i := range p.Count {
		v := float32(r.NormFloat64()) * p.Std
		switch p.Stored {
		case kernel.StoredF32:
			fake.Of[float32](c, p.To+driver.Ptr(4*i), 1)[0] = v
		case kernel.StoredBF16:
			fake.Of[uint16](c, p.To+driver.Ptr(2*i), 1)[0] = toHalf(v, 2)
		default:
			fake.Of[uint16](c, p.To+driver.Ptr(2*i), 1)[0] = toHalf(v, 1)
		}
	}
}
