// Package plain has the kernels in plain Go, over the memory of a fake card: what the
// card's are compared with, and what computes where tests have no card. Sums are in order, in
// f32 where the card's are; the card's products add sixteen terms at once, so that last bits
// differ.
package plain

import (
	"fmt"
	"math"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/device/cuda/driver/fake"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// New returns a fake card with these kernels and so many bytes of memory.
func New(memory int64) *fake.Card { return fake.New(memory, Kernels()) }

// Kernels returns the functions of all names. A kernel in several variants is the same
// function here.
func Kernels() map[string]fake.Kernel {
	all := map[string]fake.Kernel{}
	for _, name := range kernel.Names(driver.Info{Major: 9}) {
		all[name] = run
	}
	// Of two kernels for one struct, the second does all.
	all["lowrank_down"] = func(*fake.Card, driver.Shape, any) {}
	return all
}

// run computes what the struct of a launch says.
func run(c *fake.Card, _ driver.Shape, params any) {
	switch p := params.(type) {
	case *kernel.Pack:
		pack(c, p)
	case *kernel.Expand:
		expand(c, p)
	case *kernel.Product:
		product(c, p)
	case *kernel.Many:
		product(c, &p.Product)
	case *kernel.Few:
		product(c, &p.Product)
	case *kernel.Norm:
		norm(c, p)
	case *kernel.Embed:
		embed(c, p)
	case *kernel.Gather:
		gather(c, p)
	case *kernel.Elementwise:
		elementwise(c, p)
	case *kernel.Rotate:
		rotate(c, p)
	case *kernel.Attend:
		attend(c, p)
	case *kernel.LowRank:
		lowRank(c, p)
	case *kernel.Choose:
		choose(c, p)
	case *kernel.Random:
		random(c, p)
	default:
		panic(fmt.Sprintf("no kernel takes %T", params))
	}
}

// half rounds to 16 bits and back: 1 is f16, 2 bf16, 0 stays.
func half(v float32, kind int32) float32 { return fromHalf(toHalf(v, kind), kind) }

func toHalf(v float32, kind int32) uint16 {
	if kind == 2 {
		return tensor.ToBF16(v)
	}
	return tensor.ToHalf(v)
}

func fromHalf(h uint16, kind int32) float32 {
	if kind == 2 {
		return math.Float32frombits(uint32(h) << 16)
	}
	return tensor.FromHalf(h)
}

// kindOf is how a format's activations are called.
func kindOf(f kernel.Format) int32 {
	if f.Half() == kernel.HalfBF16 {
		return 2
	}
	return 1
}

// row writes numbers to row r of memory with rows of a stride, in f32 or 16 bits.
func row(c *fake.Card, at driver.Ptr, r, stride int, kind int32, values []float32) {
	if kind == 0 {
		copy(fake.Of[float32](c, at+driver.Ptr(4*r*stride), len(values)), values)
		return
	}
	to := fake.Of[uint16](c, at+driver.Ptr(2*r*stride), len(values))
	for i, v := range values {
		to[i] = toHalf(v, kind)
	}
}

// read returns n numbers of a row.
func read(c *fake.Card, at driver.Ptr, r, stride, n int, kind int32) []float32 {
	out := make([]float32, n)
	if kind == 0 {
		copy(out, fake.Of[float32](c, at+driver.Ptr(4*r*stride), n))
		return out
	}
	for i, h := range fake.Of[uint16](c, at+driver.Ptr(2*r*stride), n) {
		out[i] = fromHalf(h, kind)
	}
	return out
}
