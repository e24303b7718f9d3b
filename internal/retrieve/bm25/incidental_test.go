package bm25

import (
	"testing"

	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25/analysis"
)

// TestIncidental checks that words of asking find nothing beside others, and
// something alone; in English they are words as any.
func TestIncidental(t *testing.T) {
	passages := []retrieve.Passage{
		{ID: "how", Source: "a", Text: "How I do what I do"},
		{ID: "kettle", Source: "b", Text: "The kettle whistles"},
	}
	for _, c := range []struct{ analyzer, query, want string }{
		{analysis.Folding, "How do I fill the kettle?", "kettle"},
		{analysis.Folding, "what do I do?", "how"},
		{analysis.Folding, "How do I saw?", "how"},
		{analysis.English, "How do I fill the kettle?", "how"},
	} {
		x := open(t, build(t, passages, BuildOptions{Analyzer: c.analyzer}))
		found, err := x.Retrieve(t.Context(), retrieve.Query{Text: c.query, K: 1})
		if err != nil || len(found) != 1 || found[0].ID != c.want {
			t.Errorf("%s, %q: %+v, %v", c.analyzer, c.query, found, err)
		}
	}
}
