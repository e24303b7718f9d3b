//go:build cuda

package kernel

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"unsafe"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// card is a card with the kernels, for tests that need one.
type card struct {
	t      *testing.T
	d      driver.Driver
	set    *Set
	stream driver.Stream
}

func newCard(t *testing.T) *card {
	d, err := driver.Open(0)
	if errors.Is(err, driver.ErrNone) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	set, err := Load(d)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := d.NewStream()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stream.Close() })
	return &card{t, d, set, stream}
}

// leftOut reports whether a short run, as under compute-sanitizer, leaves a case out: all but
// those that are kept.
func leftOut[T comparable](one T, kept ...T) bool {
	return testing.Short() && !slices.Contains(kept, one)
}

// check ends the test at an error.
func (c *card) check(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// alloc takes memory filled with a byte: 0, or 0xff, which makes every number none.
func (c *card) alloc(bytes int64, fill byte) driver.Ptr {
	c.t.Helper()
	p, err := c.d.Alloc(bytes)
	c.check(err)
	c.t.Cleanup(func() { c.d.Free(p) })
	data := make([]byte, bytes)
	for i := range data {
		data[i] = fill
	}
	c.check(c.d.Write(p, data))
	return p
}

func bytesOf[T any](s []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(reflect.TypeFor[T]().Size()))
}

func put[T any](c *card, s []T) driver.Ptr {
	c.t.Helper()
	p := c.alloc(int64(max(len(bytesOf(s)), 1)), 0)
	c.check(c.d.Write(p, bytesOf(s)))
	return p
}

func get[T any](c *card, p driver.Ptr, n int) []T {
	c.t.Helper()
	c.check(c.stream.Sync())
	s := make([]T, n)
	c.check(c.d.Read(bytesOf(s), p))
	return s
}

// halves are rows of f16 with padding of zeros.
func halves(x []float32, rows, width int) []uint16 {
	stride := Pad(width)
	h := make([]uint16, rows*stride)
	for r := range rows {
		for k := range width {
			h[r*stride+k] = tensor.ToHalf(x[r*width+k])
		}
	}
	return h
}

func fromHalf(h uint16) float32 { return tensor.FromHalf(h) }

func gaussian(rng *rand.Rand, n int, std float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64() * std)
	}
	return x
}

// apart returns ‖got - want‖ / ‖want‖; what is no number is infinitely far.
func apart(got []float32, want []float64) float64 {
	d, n := 0.0, 0.0
	for i := range want {
		e := float64(got[i]) - want[i]
		d += e * e
		n += want[i] * want[i]
	}
	if d != d || len(got) != len(want) {
		return math.Inf(1)
	}
	return math.Sqrt(d / n)
}

// near fails where numbers are further apart than the bound.
func near(t *testing.T, what string, got []float32, want []float64, bound float64) {
	t.Helper()
	if a := apart(got, want); !(a <= bound) {
		t.Errorf("%s is %.2g from the reference, want at most %.2g", what, a, bound)
	}
}

// same fails where bits differ.
func same[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	n := 0
	for i := range want {
		if got[i] != want[i] {
			n++
		}
	}
	if n > 0 {
		t.Errorf("%s: %d of %d numbers have other bits", what, n, len(want))
	}
}

func TestOtherCards(t *testing.T) {
	for _, c := range []driver.Info{{Major: 8}, {Major: 8, Minor: 9}, {Major: 9}, {Major: 12}} {
		code, err := imageFor(c)
		if err != nil || len(code) < 1000 {
			t.Errorf("compute capability %d.%d: %d bytes of code, %v", c.Major, c.Minor, len(code), err)
		}
	}
	if _, err := imageFor(driver.Info{Name: "old", Major: 7, Minor: 5}); err == nil {
		t.Error("a card of 7.5 has code")
	}
}

func ExampleNames() {
	fmt.Println(Names(driver.Info{Major: 9})[:3])
	// Output: [embed gather norm_narrow]
}
