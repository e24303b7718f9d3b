package placement

import "testing"

// Only virtual passages stand apart.
func TestWithApart(t *testing.T) {
	for _, c := range []struct {
		p  Placement
		n  int
		ok bool
	}{{Virtual, 0, true}, {Virtual, 256, true}, {Virtual, -1, false}, {Virtual, maxApart + 1, false}, {Append, 0, true}, {Append, 1, false}, {None, 1, false}} {
		if p, err := c.p.WithApart(c.n); (err == nil) != c.ok || err == nil && p.Apart != c.n {
			t.Errorf("%s, %d apart: %d, error %v", c.p.Name, c.n, p.Apart, err)
		}
	}
}

// Which placements take which echo is the table's column.
func TestWithEcho(t *testing.T) {
	for _, c := range []struct {
		p    Placement
		echo int
		ok   bool
	}{
		{Append, 0, true}, {Append, 16, true}, {Append, Turn, true}, {Append, -2, false},
		{Virtual, 1, true}, {Virtual, 16, true}, {Virtual, Turn, true}, {Virtual, 0, false}, {Virtual, -2, false},
		{Prepend, 0, true}, {Prepend, 1, false}, {Prepend, Turn, false}, {None, 0, true}, {None, 16, false},
		{InTurn, 1, true}, {InTurn, 16, false}, {InTurn, Turn, false},
	} {
		p, err := c.p.WithEcho(c.echo)
		if (err == nil) != c.ok {
			t.Errorf("%s with an echo of %d: error %v", c.p.Name, c.echo, err)
		}
		if err == nil && p.Echo != c.echo {
			t.Errorf("%s has an echo of %d instead of %d", c.p.Name, p.Echo, c.echo)
		}
	}
}

// TestReserve: only where positions are learned a text starts at another than 0, that of
// virtual evidence always, one without evidence where it is asked to.
func TestReserve(t *testing.T) {
	for _, p := range All {
		named, err := p.WithReserve(40)
		if may := p.Evidence == BeforeZero || p.Evidence == Nowhere; (err == nil) != may {
			t.Errorf("%s behind a reserve: %v", p.Name, err)
		}
		own := 0
		if p.Evidence == BeforeZero {
			own = 20
		}
		if got := p.For(true, 20).Reserve; got != own {
			t.Errorf("%s starts at %d, want %d", p.Name, got, own)
		}
		if err == nil && (named.For(true, 20).Reserve != 40 || named.For(false, 20).Reserve != 0) {
			t.Errorf("%s, asked to start at 40: %d where positions are learned, else %d", p.Name, named.For(true, 20).Reserve, named.For(false, 20).Reserve)
		}
	}
	if _, err := None.WithReserve(-1); err == nil {
		t.Error("a negative reserve")
	}
}
