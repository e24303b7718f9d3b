package fake

import (
	"errors"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
)

type doubling struct {
	At driver.Ptr
	N  int32
}

func TestCard(t *testing.T) {
	c := New(1<<20, map[string]Kernel{"double": func(c *Card, _ driver.Shape, params any) {
		p := params.(*doubling)
		for i, x := range Of[float32](c, p.At, int(p.N)) {
			Of[float32](c, p.At, int(p.N))[i] = 2 * x
		}
	}})
	var d driver.Driver = c
	p, err := d.Alloc(16)
	if err != nil {
		t.Fatal(err)
	}
	copy(Of[float32](c, p, 4), []float32{1, 2, 3, 4})
	s, _ := d.NewStream()
	m, _ := d.Load(nil)
	double, err := m.Function("double")
	if err != nil {
		t.Fatal(err)
	}
	params := &doubling{p, 2}
	shape := driver.Shape{Grid: [3]uint32{1, 1, 1}, Block: 32}
	g, err := s.Capture(func() error { return s.Launch(double, shape, params) })
	if err != nil {
		t.Fatal(err)
	}
	params.N = 4 // a recorded launch keeps its own
	for range 2 {
		if err := s.Run(g); err != nil {
			t.Fatal(err)
		}
	}
	if got := Of[float32](c, p, 4); got[0] != 4 || got[1] != 8 || got[2] != 3 {
		t.Errorf("doubled twice: %v", got)
	}
	if err := s.Launch(double, driver.Shape{}, params); err == nil {
		t.Error("a launch without a block was accepted")
	}
	if err := s.Launch(double, shape, *params); err == nil || !strings.Contains(err.Error(), "pointer") {
		t.Errorf("params by value: %v", err)
	}
	if _, err := d.Alloc(1 << 20); !driver.IsOutOfMemory(err) {
		t.Errorf("more than there is: %v", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a kernel wrote behind its memory")
			}
		}()
		s.Launch(double, shape, &doubling{p, 5})
	}()
	c.Fail = func(call string) error {
		if call == "cuGraphLaunch" {
			return driver.Lost(call)
		}
		return nil
	}
	if err := s.Run(g); !driver.IsLost(err) {
		t.Errorf("a lost card: %v", err)
	}
	if _, err := m.Function("treble"); err == nil {
		t.Error("an unknown kernel was found")
	}
	if err := errors.Join(d.Free(p), d.Free(0)); err != nil || c.Used() != 0 {
		t.Errorf("%d bytes are left, %v", c.Used(), err)
	}
	if d.Free(p) == nil {
		t.Error("memory was freed twice")
	}
}
