package kvcache

import (
	"errors"
	"testing"
)

var shape = Shape{Layers: 2, KVHeads: 2, HeadDim: 4}

// store holds a number for each token of a page.
type store struct {
	t     *testing.T
	pages [][]float32
}

func (s *store) Shape() Shape { return shape }
func (s *store) Pages() int   { return len(s.pages) }

func (s *store) Allocate(page int) {
	if s.pages[page] != nil {
		s.t.Fatalf("page %d was allocated twice", page)
	}
	s.pages[page] = make([]float32, PageTokens)
}

func (s *store) Copy(to, from int) { copy(s.pages[to], s.pages[from]) }

func newPool(t *testing.T, pages int) *Pool {
	t.Helper()
	return NewPool(&store{t, make([][]float32, pages)})
}

// at returns where entry i of a span is stored.
func at(s *Span, i int) *float32 {
	return &s.pool.storage.(*store).pages[s.Pages()[i/PageTokens]][i%PageTokens]
}

func check(t *testing.T, s *Span, i int, want float32) {
	t.Helper()
	if got := *at(s, i); got != want {
		t.Fatalf("entry %d is %v, want %v", i, got, want)
	}
}

func fill(t *testing.T, s *Span, n int, base float32) {
	t.Helper()
	from := s.Len()
	if err := s.Extend(n); err != nil {
		t.Fatal(err)
	}
	for i := from; i < s.Len(); i++ {
		*at(s, i) = base + float32(i)
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

func TestForgottenPagesAreGivenBack(t *testing.T) {
	p := newPool(t, 8)
	a := p.NewSpan(0)
	fill(t, a, 3*PageTokens+5, 1000)
	a.Forget(PageTokens - 1)
	if u := p.Usage(); u.Pages != 4 {
		t.Fatalf("%+v: a page was given back that holds an entry that may be seen", u)
	}
	f := a.Fork()
	a.Forget(2*PageTokens + 3)
	if u := p.Usage(); u.Pages != 4 {
		t.Fatalf("%+v: a page was given back that a fork holds", u)
	}
	f.Forget(a.Len() + 1)
	if u := p.Usage(); u.Pages != 2 {
		t.Fatalf("%+v, want the pages of the entries from %d on", u, 2*PageTokens)
	}
	for i := 2 * PageTokens; i < a.Len(); i++ {
		check(t, a, i, 1000+float32(i)) // where it was
	}
	fill(t, f, PageTokens, 2000) // copies what it shares, and goes on
	check(t, f, f.Len()-1, 2000+float32(f.Len()-1))
	check(t, a, a.Len()-1, 1000+float32(a.Len()-1))
	g := a.Fork()
	g.Truncate(2 * PageTokens)
	if g.Len() != 2*PageTokens {
		t.Fatalf("%d entries are left, want %d", g.Len(), 2*PageTokens)
	}
	g.Truncate(PageTokens + 1)
	if g.Len() != 0 || len(g.Pages()) != 0 {
		t.Fatalf("%d entries are left of those that were forgotten", g.Len())
	}
	fill(t, g, 1, 3000)
	for _, s := range []*Span{a, f, g} {
		s.Release()
	}
	if u := p.Usage(); u.Pages != 0 {
		t.Fatalf("%+v after release", u)
	}
}

func TestBudgetBelowAPageIsRefused(t *testing.T) {
	if _, err := shape.Pages(100); err == nil {
		t.Fatal("a budget of 100 bytes was accepted")
	}
	if n, err := shape.Pages(int64(2*PageTokens*shape.TokenBytes() + 1)); n != 2 || err != nil {
		t.Fatalf("%d pages, %v", n, err)
	}
}
