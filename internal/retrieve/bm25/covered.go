package bm25

import (
	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25/analysis"
)

var _ retrieve.Coverer = (*Index)(nil)

// Covered implements retrieve.Coverer: terms weigh as much as their idf in the index,
// and those that it has nowhere weigh most.
func (x *Index) Covered(question string, p retrieve.Passage) (float64, error) {
	analyzer, err := analysis.New(x.manifest.Analyzer)
	if err != nil {
		return 0, err
	}
	has := map[string]bool{}
	for _, text := range []string{p.Title, p.Heading, p.Text} {
		analyzer.Reset(text)
		for term, ok := analyzer.Next(); ok; term, ok = analyzer.Next() {
			has[string(term)] = true
		}
	}
	asked := map[string]bool{}
	analyzer.Reset(question)
	for term, ok := analyzer.Next(); ok; term, ok = analyzer.Next() {
		if !analyzer.Incidental(term) {
			asked[string(term)] = true
		}
	}
	covered, all := 0.0, 0.0
	for term := range asked {
		df, err := x.documentFrequency([]byte(term))
		if err != nil {
			return 0, err
		}
		weight := float64(x.collection.idf(max(df, 1)))
		all += weight
		if has[term] {
			covered += weight
		}
	}
	if all == 0 {
		return 0, nil
	}
	return covered / all, nil
}

// documentFrequency returns how many passages have a term.
func (x *Index) documentFrequency(term []byte) (df uint64, err error) {
	for _, seg := range x.segments {
		r, err := seg.dictReader()
		if err != nil {
			return 0, err
		}
		var l postings
		if _, err := seg.lookup(term, r, &l); err != nil {
			return 0, err
		}
		df += l.df
	}
	return df, nil
}
