package ralm

import (
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// scored makes passages of "id score" pairs.
func scored(list ...any) []retrieve.Passage {
	var passages []retrieve.Passage
	for i := 0; i < len(list); i += 2 {
		passages = append(passages, retrieve.Passage{ID: list[i].(string), Score: list[i+1].(float64)})
	}
	return passages
}

// What is in sight stays, in its place, until another passage is clearly better.
func TestExchange(t *testing.T) {
	for _, c := range []struct {
		name         string
		shown, found []retrieve.Passage
		want         string
	}{
		{"the first look-up", nil, scored("a", 9., "b", 8., "c", 7.), "a b"},
		{"the same", scored("a", 9., "b", 8.), scored("a", 19., "b", 8.), "a b"},
		{"the other way round", scored("a", 9., "b", 8.), scored("b", 19., "a", 8.), "a b"},
		{"a little better", scored("a", 9., "b", 8.), scored("c", 11., "a", 10., "b", 8.), "a b"},
		{"clearly better than one", scored("a", 9., "b", 8.), scored("c", 15., "a", 12., "b", 8.), "a c"},
		{"clearly better than both", scored("a", 9., "b", 8.), scored("c", 30., "d", 25., "a", 12., "b", 8.), "c d"},
		{"one that was not found scores at most the last", scored("a", 9., "b", 8.), scored("c", 15., "a", 12., "d", 11.), "a b"},
		{"one that was not found, and a far better one", scored("a", 9., "b", 8.), scored("c", 17., "a", 12., "d", 11.), "a c"},
		{"nothing found", scored("a", 9., "b", 8.), nil, "a b"},
		{"fewer than k before", scored("a", 9.), scored("b", 3.), "a b"},
		{"scores of nothing", scored("a", 0., "b", 0.), scored("c", 0., "a", 0.), "a b"},
	} {
		var ids []string
		for _, p := range exchange(c.shown, c.found, 2, 1.5) {
			ids = append(ids, p.ID)
		}
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// A query that comes again gives the same passages, whatever they scored.
func TestExchangeDoesNotChangeWhatItIsGiven(t *testing.T) {
	shown := scored("a", 9., "b", 8.)
	exchange(shown, scored("c", 30., "a", 2.), 2, 1.5)
	if shown[0].ID != "a" || shown[1].ID != "b" || shown[1].Score != 8 {
		t.Errorf("the passages shown became %v", shown)
	}
}
