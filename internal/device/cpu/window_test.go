package cpu

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/kvcache"
)

var (
	formats   = []kvcache.Format{kvcache.F32, kvcache.F16, kvcache.Q8, kvcache.I16}
	headShape = device.AttendShape{Heads: 4, KVHeads: 2, HeadDim: 40}
)

// TestWindow compares windows of all lengths beside blocks, strips and splits with plain
// attention, and holds batches, in which rows read blocks that others have left behind,
// to rows alone, which skip them, bit for bit. A part that is whole has no window.
func TestWindow(t *testing.T) {
	const before, seen, count = 500, 490, 75
	for _, set := range kernel.Sets() {
		for _, format := range formats {
			t.Run(fmt.Sprintf("%s/%v", set.Name, format), func(t *testing.T) {
				one, two := New(set, 1), New(set, 2)
				defer one.Close()
				defer two.Close()
				a := newAttending(t, one, headShape, format, before, seen, count)
				k, v := rounded(a.k, format, headShape.HeadDim), rounded(a.v, format, headShape.HeadDim)
				plain := a.attend(one, count)
				for _, window := range []int{1, 32, 33, 129, 270, before + count} {
					for _, whole := range []bool{false, true} {
						a.Window, a.rows.View[0].Whole = window, whole
						got := a.attend(one, count)
						for _, step := range []int{1, 50} {
							if !slices.Equal(got, a.attend(two, step)) {
								t.Fatalf("window %d: %d tokens at a time give other bits", window, step)
							}
						}
						a.compare(t, got, toleranceOf(format), seen, k, v)
						if window == before+count && !slices.Equal(got, plain) {
							t.Error("a window that leaves nothing behind gives other bits than none")
						}
					}
				}
			})
		}
	}
}

// TestForgottenPages gives the pages back that no later row sees, lets others write
// nonsense to them, and expects the same bits.
func TestForgottenPages(t *testing.T) {
	const before, count, window = 300, 200, 70
	for _, set := range kernel.Sets() {
		for _, format := range formats {
			t.Run(fmt.Sprintf("%s/%v", set.Name, format), func(t *testing.T) {
				d := New(set, 2)
				defer d.Close()
				a := newAttending(t, d, headShape, format, before, before, count)
				a.Window = window
				want := a.attend(d, count)
				other, self := a.rows.View[0].Span, a.rows.Self
				got, given := make([]float32, len(want)), 0
				for from, step := 0, 0; from < count; from += step {
					step = min(1+from%3*20, count-from)
					pages := append(slices.Clone(other.Pages()), self.Pages()...)
					for _, s := range []*kvcache.Span{other, self} {
						s.Forget(a.First(s.Start(), before+from))
					}
					for i, page := range append(slices.Clone(other.Pages()), self.Pages()...) {
						if page < 0 && pages[i] >= 0 {
							given++
							a.kv.pages[pages[i]].spoil()
						}
					}
					r := a.rows
					r.First, r.SelfFirst, r.Count = r.First+from, from, step
					d.Attend(got, a.q, a.kv, 0, &a.Attention, []device.Rows{r})
				}
				if !slices.Equal(got, want) {
					t.Error("pages that were given back are still read")
				}
				if least := (before+count-window)/kvcache.PageTokens - 3; given < least {
					t.Errorf("%d pages were given back, want %d at least", given, least)
				}
			})
		}
	}
}

// TestHiddenWeighsNothing hides the only values that are not 0 in the block where the
// window begins: exactly 0 must come out.
func TestHiddenWeighsNothing(t *testing.T) {
	const before, window = 40, 10
	for _, set := range kernel.Sets() {
		for _, format := range formats {
			d := New(set, 1)
			a := newAttending(t, d, headShape, format, before, before, 1)
			a.Window = window
			clear(a.v[(before+1-window)*headShape.KVHeads*headShape.HeadDim:])
			ones := slices.Repeat([]float32{1}, len(a.q)) // nothing turns
			other := device.Rows{Count: before, Self: a.rows.View[0].Span}
			d.Store(a.q, a.k, a.v, Angles{Cos: ones, Sin: make([]float32, len(a.q)), Pairs: headShape.HeadDim / 2}, a.kv, 0, headShape, []device.Rows{other, a.rows})
			out := a.attend(d, 1)
			for _, x := range out[before*headShape.Heads*headShape.HeadDim:] {
				if x != 0 {
					t.Fatalf("%s, %v: %v, want 0", set.Name, format, x)
				}
			}
			d.Close()
		}
	}
}

// spoil makes everything a page holds no number, or as large as can be.
func (p *page) spoil() {
	nan := float32(math.NaN())
	for i := range p.full {
		p.full[i] = nan
	}
	for i := range p.half {
		p.half[i] = 0x7e00
	}
	for i := range p.codes {
		p.codes[i] = 127
	}
	for i := range p.scales {
		p.scales[i] = nan
	}
	for i := range p.pairs {
		p.pairs[i] = math.MaxInt16
	}
}

// TestScaleAndSoftCap compares with plain attention that scales and caps scores.
func TestScaleAndSoftCap(t *testing.T) {
	const before, count = 100, 80
	for _, set := range kernel.Sets() {
		for _, format := range formats {
			d := New(set, 1)
			a := newAttending(t, d, headShape, format, before, before, count)
			k, v := rounded(a.k, format, headShape.HeadDim), rounded(a.v, format, headShape.HeadDim)
			plain := a.attend(d, count)
			a.Scale = .2
			scaled := a.attend(d, count)
			a.compare(t, scaled, toleranceOf(format), before, k, v)
			a.SoftCap, a.Window = 1.5, 90
			capped := a.attend(d, count)
			a.compare(t, capped, toleranceOf(format), before, k, v)
			if slices.Equal(scaled, plain) || slices.Equal(capped, scaled) {
				t.Errorf("%s, %v: neither scale nor cap changed anything", set.Name, format)
			}
			d.Close()
		}
	}
}
