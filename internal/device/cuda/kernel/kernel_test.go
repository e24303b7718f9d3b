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
