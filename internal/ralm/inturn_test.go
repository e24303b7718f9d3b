package ralm_test

import (
	"context"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/retrieve"
)

// turning is a retriever that finds other passages at each look-up.
type turning struct {
	found [][]retrieve.Passage
	n     int
}

func (r *turning) Retrieve(context.Context, retrieve.Query) ([]retrieve.Passage, error) {
	r.n++
	return r.found[r.n-1], nil
}

// The passages of a turn's first look-up stay before it, joined; what later ones find
// besides is virtual.
func TestInTurn(t *testing.T) {
	a, b, c := retrieve.Passage{ID: "a", Text: "aa", Score: 3}, retrieve.Passage{ID: "b", Text: "bb", Score: 2}, retrieve.Passage{ID: "c", Text: "cc", Score: 9}
	shelf := &turning{found: [][]retrieve.Passage{{a, b}, {a, b}, {c, a}, {b, a}}}
	s := newScript("0123456789abcdef")
	o := ralm.Defaults()
	o.Placement, o.Stride, o.K, o.MaxTokens, o.Turn = placement.InTurn, 4, 2, 16, 3
	o.Placement.At, o.Separator = 3, bytes{}.Encode("|")
	tr := trace(t, s, shelf, "prompt", o)
	want := [][]string{{"aa|bb|"}, {"aa|bb|"}, {"aa|bb|", "cc"}, {"aa|bb|"}}
	for i, call := range s.calls {
		var got []string
		for _, e := range call.evidence {
			got = append(got, bytes{}.Decode(e.Tokens))
		}
		if call.placement.Name != "in-turn" || call.placement.At != 3 || !slices.Equal(got, want[i]) {
			t.Errorf("stride %d: %s at %d with %q, want in-turn at 3 with %q", i, call.placement.Name, call.placement.At, got, want[i])
		}
	}
	third := tr.Strides[2].Passages
	if len(third) != 3 || !third[0].InTurn || !third[1].InTurn || third[2].InTurn || third[2].ID != "c" {
		t.Errorf("the third stride reports %+v", third)
	}
}
