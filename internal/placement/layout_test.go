package placement

import (
	"reflect"
	"testing"
)

func echoing(t *testing.T, p Placement, echo int) Placement {
	t.Helper()
	p, err := p.WithEcho(echo)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func apart(t *testing.T, p Placement, n int) Placement {
	t.Helper()
	p, err := p.WithApart(n)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The layouts are those of the table by hand: a text of 10, passages of 4 and 3.
func TestLayout(t *testing.T) {
	chat := Prepend
	chat.At = 6
	turn := apart(t, InTurn, 5)
	turn.At = 6
	two := []int{4, 3}
	plain := Layout{Context: 10, Branches: []Branch{{Sees: 10, Tail: 10, Start: 10}}}
	for _, c := range []struct {
		name     string
		p        Placement
		text     int
		evidence []int
		want     Layout
	}{
		{"none", None, 10, two, plain},
		{"no evidence", Append, 10, nil, plain},
		{"short text", Virtual, 1, two, Layout{Context: 1, Branches: []Branch{{Sees: 1, Tail: 1, Start: 1}}}},
		{"prepend", Prepend, 10, two, Layout{
			Passages: []Passage{{0, 0}, {0, 0}},
			Branches: []Branch{{Sees: 0, From: 0, To: 1, Tail: 0, Start: 4}, {Sees: 0, From: 1, To: 2, Tail: 0, Start: 3}},
		}},
		{"prepend in chat", chat, 10, two[:1], Layout{
			Context:  6,
			Passages: []Passage{{6, 6}},
			Branches: []Branch{{Sees: 6, From: 0, To: 1, Tail: 6, Start: 10}},
		}},
		{"in turn", turn, 10, two[:1], Layout{
			Context:  6,
			Passages: []Passage{{6, 6}},
			Branches: []Branch{{Sees: 6, From: 0, To: 1, Tail: 6, Start: 10}},
		}},
		{"in turn, later ones", turn, 10, []int{4, 3, 2}, Layout{
			Context:  6,
			Passages: []Passage{{6, 6}, {-3, 1}, {-2 - 5, 1}},
			Turn:     TurnSpan{From: 6, To: 9, Start: 10},
			Branches: []Branch{{Sees: 6, From: 0, To: 3, Tail: 9, Start: 13}},
		}},
		{"append", Append, 10, two, Layout{
			Context:  10,
			Passages: []Passage{{10, 10}, {10, 10}},
			Branches: []Branch{{Sees: 10, From: 0, To: 1, Tail: 10, Start: 14}, {Sees: 10, From: 1, To: 2, Tail: 10, Start: 13}},
		}},
		{"append echo", echoing(t, Append, 3), 10, two[:1], Layout{
			Context:  10,
			Passages: []Passage{{10, 10}},
			Branches: []Branch{{Sees: 10, From: 0, To: 1, Tail: 7, Start: 14}},
		}},
		{"append long echo", echoing(t, Append, 16), 10, two[:1], Layout{
			Context:  10,
			Passages: []Passage{{10, 10}},
			Branches: []Branch{{Sees: 10, From: 0, To: 1, Tail: 1, Start: 14}},
		}},
		{"virtual, learned positions", Virtual.For(true, 20), 10, two, Layout{
			Context:  9,
			Start:    20,
			Passages: []Passage{{16, 1}, {17, 1}},
			Branches: []Branch{{Sees: 9, From: 0, To: 2, Tail: 9, Start: 29}},
		}},
		{"virtual", Virtual, 10, two, Layout{
			Context:  9,
			Passages: []Passage{{-4, 1}, {-3, 1}},
			Branches: []Branch{{Sees: 9, From: 0, To: 2, Tail: 9, Start: 9}},
		}},
		{"virtual, apart", apart(t, Virtual, 6), 10, two, Layout{
			Context:  9,
			Passages: []Passage{{-4, 1}, {-9, 1}},
			Branches: []Branch{{Sees: 9, From: 0, To: 2, Tail: 9, Start: 9}},
		}},
		{"virtual long echo", echoing(t, Virtual, 16), 10, two[:1], Layout{
			Context:  1,
			Passages: []Passage{{-4, 1}},
			Branches: []Branch{{Sees: 1, From: 0, To: 1, Tail: 1, Start: 1}},
		}},
	} {
		if got := c.p.Layout(c.text, c.evidence); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

// An echo in place takes no positions, and no echo is longer than p-1.
func TestPositions(t *testing.T) {
	turn := InTurn
	turn.At = 6
	for _, c := range []struct {
		name string
		p    Placement
		text int
		want int
	}{
		{"prepend", Prepend, 10, 10 + 4 + 5},
		{"append", Append, 10, 10 + 4 + 5},
		{"append echo", echoing(t, Append, 3), 10, 10 + 4 + 3 + 5},
		{"append long echo", echoing(t, Append, 16), 10, 10 + 4 + 9 + 5},
		{"no text", echoing(t, Append, 16), 0, 4 + 5},
		{"virtual", Virtual, 10, 10 + 7 + 5},
		{"virtual echo", echoing(t, Virtual, 16), 10, 10 + 7 + 5},
		{"in turn, later ones", turn, 10, 10 + 4 + 3 + 5},
		{"virtual, a little apart", apart(t, Virtual, 2), 10, 10 + 7 + 5},
		{"virtual, apart", apart(t, Virtual, 6), 10, 10 + 6 + 3 + 5},
	} {
		if got := c.p.Positions(c.text, []int{4, 3}, 5); got != c.want {
			t.Errorf("%s takes %d positions, want %d", c.name, got, c.want)
		}
	}
	if got := None.Positions(10, nil, 5); got != 15 {
		t.Errorf("none takes %d positions, want 15", got)
	}
}
