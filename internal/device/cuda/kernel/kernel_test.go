package kernel

import (
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
)

// TestTooWide asks a card with little shared memory for wide heads.
func TestTooWide(t *testing.T) {
	s := &Set{card: driver.Info{Name: "small", Major: 8, Minor: 9, Shared: 99 << 10}}
	err := s.AttendMany(nil, &Attend{Count: 1, MaxRows: 1, MaxSplit: 1, Heads: 4, KVHeads: 1, HeadDim: 256}, false)
	if err == nil || !strings.Contains(err.Error(), "narrower heads") {
		t.Errorf("heads of 256 on a card with 99 KB: %v", err)
	}
}

// TestManySizes looks at how products of many rows are cut: every launch fits the card.
func TestManySizes(t *testing.T) {
	s := &Set{card: driver.Info{Major: 9, Multiprocessors: 132, Shared: 227 << 10}}
	for _, rows := range []int{33, 64, 146, 512, 4226} {
		for _, w := range [][2]int{{576, 1536}, {4096, 11008}, {22016, 4096}, {8, 64}} {
			p := &Product{Count: 1, Rows: int32(rows), Cols: int32(w[1]), Format: F16}
			p.Segments[0].Rows = int32(w[0])
			c := s.many(p)
			if c.slots < 2 || c.shared > s.card.Shared-static || c.threads > 512 || c.threads%128 != 0 {
				t.Errorf("%d rows of %v: %+v", rows, w, c)
			}
		}
	}
}

// TestCut looks at products that are launched in two parts: together they are the whole.
func TestCut(t *testing.T) {
	s := &Set{card: driver.Info{Major: 9, Multiprocessors: 132, Shared: 227 << 10}}
	cuts := 0
	for _, format := range []Format{F16, Q8, Q4} {
		for _, epilogue := range []Epilogue{Add, Gated} {
			for _, rows := range []int{11008, 22016, 17008, 4096} {
				p := &Product{Count: 1, Rows: 146, Cols: 4096, Format: format, Epilogue: epilogue}
				size := 4
				if epilogue == Gated {
					p.Count, size = 2, 2
				}
				for i := range p.Segments[:p.Count] {
					p.Segments[i] = Segment{W: 1 << 40, Scale: 1 << 41, Out: 1 << 42, Rows: int32(rows)}
				}
				parts, _ := s.cut(p)
				if len(parts) == 1 {
					continue
				}
				a, b := parts[0], parts[1]
				cuts++
				for i := range p.Segments[:p.Count] {
					x, y := a.Segments[i], b.Segments[i]
					want := Segment{W: 1<<40 + driver.Ptr(format.Bytes(int(x.Rows), 4096)), Scale: 1<<41 + driver.Ptr(4*x.Rows), Out: 1<<42 + driver.Ptr(size*int(x.Rows)), Rows: int32(rows) - x.Rows}
					if x.W != 1<<40 || x.Rows%8 != 0 || x.Rows <= 0 || y != want {
						t.Errorf("%d rows of %s: %+v and %+v", rows, formatNames[format], x, y)
					}
				}
			}
		}
	}
	if cuts == 0 {
		t.Error("nothing was cut")
	}
}
