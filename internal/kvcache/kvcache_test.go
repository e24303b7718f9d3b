package kvcache

import (
	"errors"
	"testing"
)

var shape = Shape{Layers: 2, KVHeads: 2, HeadDim: 4}

func newPool(t *testing.T, pages int) *Pool {
	t.Helper()
	p, err := NewPool(shape, int64(pages*PageTokens*shape.TokenBytes()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// write stores the value v in every key and value of entry i.
func write(s *Span, i int, v float32) {
	for l := range shape.Layers {
		for h := range shape.KVHeads {
			k, val := s.Entry(l, h, i)
			for d := range val {
				k[d*PageTokens], val[d] = v, -v
			}
		}
	}
}

func check(t *testing.T, s *Span, i int, want float32) {
	t.Helper()
	for l := range shape.Layers {
		for h := range shape.KVHeads {
			k, v := s.Block(l, h, i/PageTokens)
			for d := range shape.HeadDim {
				key, value := k[d*PageTokens+i%PageTokens], v[i%PageTokens*shape.HeadDim+d]
				if key != want || value != -want {
					t.Fatalf("layer %d head %d entry %d is %v, %v at %d, want %v", l, h, i, key, value, d, want)
				}
			}
		}
	}
}

func fill(t *testing.T, s *Span, n int, base float32) {
	t.Helper()
	from := s.Len()
	if err := s.Extend(n); err != nil {
		t.Fatal(err)
	}
	for i := from; i < s.Len(); i++ {
		write(s, i, base+float32(i))
	}
}

func TestForkSharesAllButThePartialPage(t *testing.T) {
	p := newPool(t, 16)
	a := p.NewSpan(0)
	fill(t, a, 2*PageTokens+5, 1000)
	b := a.Fork()
	if u := p.Usage(); u.Pages != 3 || u.Copies != 0 {
		t.Fatalf("after the fork %+v, want 3 pages and no copy", u)
	}
	fill(t, b, 3, 2000)
	fill(t, a, 1, 3000)
	fill(t, a, PageTokens, 3000)
	if u := p.Usage(); u.Copies != 1 || u.Pages != 5 {
		t.Fatalf("after both went on %+v, want one copy and 5 pages", u)
	}
	n := 2*PageTokens + 5
	for i := range n {
		check(t, a, i, 1000+float32(i))
		check(t, b, i, 1000+float32(i))
	}
	check(t, a, n, 3000+float32(n))
	check(t, b, n, 2000+float32(n))

	a.Release()
	check(t, b, 0, 1000)
	b.Release()
	if u := p.Usage(); u.Pages != 0 {
		t.Fatalf("after release %+v, want no page in use", u)
	}
}

func TestTruncateIntoASharedPageThenExtend(t *testing.T) {
	p := newPool(t, 8)
	a := p.NewSpan(0)
	fill(t, a, PageTokens, 1000)
	b := a.Fork()
	a.Truncate(3)
	fill(t, a, 2, 2000)
	check(t, a, 2, 1002)
	check(t, a, 3, 2003)
	check(t, b, 3, 1003)
	if p.Usage().Copies != 1 {
		t.Fatalf("%+v, want one copy", p.Usage())
	}
}

func TestFullPoolEvictsThenRefuses(t *testing.T) {
	p := newPool(t, 2)
	kept := p.NewSpan(-9)
	fill(t, kept, 1, 0)
	p.OnFull(func() bool {
		if kept.Len() == 0 {
			return false
		}
		kept.Release()
		return true
	})
	a := p.NewSpan(0)
	fill(t, a, PageTokens+1, 0)
	if kept.Len() != 0 {
		t.Fatal("the kept span was not evicted")
	}
	err := a.Extend(2 * PageTokens)
	if !errors.Is(err, ErrFull) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	if a.Len() != PageTokens+1 || p.Usage().Pages != 2 {
		t.Fatalf("a refused extension changed the span: %d entries, %+v", a.Len(), p.Usage())
	}
	check(t, a, PageTokens, PageTokens)
}

func TestBudgetBelowAPageIsRefused(t *testing.T) {
	if _, err := NewPool(shape, 100); err == nil {
		t.Fatal("a budget of 100 bytes was accepted")
	}
}
