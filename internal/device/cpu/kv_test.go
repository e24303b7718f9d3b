package cpu

import (
	"testing"

	"github.com/flashback-lm/flashback/internal/kvcache"
)

// TestCopiedPages writes a number of its own to everything a page holds and finds all
// of them in its copy, in each format.
func TestCopiedPages(t *testing.T) {
	for _, format := range []kvcache.Format{kvcache.F32, kvcache.F16, kvcache.Q8, kvcache.I16} {
		shape := kvcache.Shape{Layers: 2, KVHeads: 3, HeadDim: 40, Format: format}
		kv := NewKV(shape, 2)
		kv.Allocate(0)
		kv.Allocate(1)
		numbers := 0
		// visit calls do with every number of a page.
		visit := func(page int32, do func(get float32, set func(float32))) {
			numbers = 0
			for l := range shape.Layers {
				for h := range shape.KVHeads {
					switch format {
					case kvcache.F16:
						k, v := kv.halfBlock(page, l, h)
						numbers += each(k, do) + each(v, do)
					case kvcache.Q8:
						k, v := kv.codedBlock(page, l, h)
						numbers += each(k.codes, do) + each(v.codes, do) + each(k.scales, do) + each(v.scales, do)
					case kvcache.I16:
						k, v := kv.pairedBlock(page, l, h)
						numbers += each(k.codes, do) + each(v.codes, do) + each(k.scales, do) + each(v.scales, do)
					default:
						k, v := kv.block(page, l, h)
						numbers += each(k, do) + each(v, do)
					}
				}
			}
		}
		n := 0
		visit(0, func(_ float32, set func(float32)) { n++; set(float32(n % 101)) })
		kv.Copy(1, 0)
		visit(0, func(_ float32, set func(float32)) { set(0) })
		n = 0
		visit(1, func(get float32, _ func(float32)) {
			if n++; get != float32(n%101) {
				t.Fatalf("%v: number %d is %v, want %v", format, n, get, n%101)
			}
		})
		scales := map[kvcache.Format]int{kvcache.Q8: 2, kvcache.I16: 1}[format]
		if want := 2 * 3 * 2 * kvcache.PageTokens * (40 + scales); numbers != want {
			t.Errorf("%v: a page has %d numbers, want %d", format, numbers, want)
		}
	}
}

func each[T float32 | uint16 | int8 | int16](x []T, do func(get float32, set func(float32))) int {
	for i := range x {
		do(float32(x[i]), func(v float32) { x[i] = T(v) })
	}
	return len(x)
}
