package bm25

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25/analysis"
)

// TestBreadcrumbWeight compares with passages whose text repeats title and headings
// as often as they weigh: the same hits to the bit, by adding everything up and by
// MaxScore, after additions too.
func TestBreadcrumbWeight(t *testing.T) {
	const weight = 3
	rng := rand.New(rand.NewPCG(7, 8))
	passages := randomPassages(rng, 6000)
	for i := range passages {
		p := &passages[i]
		p.Title, p.Heading = randomQuery(rng, passages[:100], 2), ""
		if i%3 > 0 {
			p.Heading = randomQuery(rng, passages[:500], 2) + " > " + randomQuery(rng, passages[:500], 1)
		}
	}
	written := slices.Clone(passages)
	for i := range written {
		p := &written[i]
		p.Text = strings.Repeat(p.Title+"\n"+p.Heading+"\n", weight) + p.Text
		p.Title, p.Heading = "", ""
	}
	for _, name := range []string{analysis.English, analysis.Folding} {
		want := open(t, build(t, written, BuildOptions{Analyzer: name}))
		dir := build(t, passages[:4000], BuildOptions{Analyzer: name, BreadcrumbWeight: weight})
		if _, err := Add(context.Background(), dir, all(passages[4000:]), BuildOptions{}); err != nil {
			t.Fatal(err)
		}
		dense, skipping := open(t, dir), open(t, dir)
		skipping.denseLimit, skipping.window = 0, 1<<10
		for range 100 {
			q := retrieve.Query{Text: randomQuery(rng, passages, 1+rng.IntN(20)), K: 10}
			var found [3][]Hit
			for i, x := range []*Index{want, dense, skipping} {
				var err error
				if found[i], _, err = x.Search(q, nil); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(found[1], found[0]) || !slices.Equal(found[2], found[0]) {
				t.Fatalf("%s, %q:\nwanted %v\nadding %v\nskipping %v", name, q.Text, found[0], found[1], found[2])
			}
		}
		p, err := dense.Passage(5000)
		if err != nil || !p.Breadcrumb || p.Heading != passages[5000].Heading {
			t.Errorf("passage %+v, %v", p, err)
		}
		if n := dense.Info().BreadcrumbWeight; n != weight {
			t.Errorf("the index says weight %d", n)
		}
		if p, err = want.Passage(1); err != nil || p.Breadcrumb {
			t.Errorf("passage %+v, %v", p, err)
		}
	}
}
