package analysis

import "strings"

// Mark returns text with the pieces whose terms the query has put between open
// and end.
func Mark(analyzer, query, text, open, end string) (string, error) {
	hits, err := Find(analyzer, query, text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	done := 0
	for _, h := range hits {
		b.WriteString(text[done:h.Start])
		b.WriteString(open + text[h.Start:h.End] + end)
		done = h.End
	}
	b.WriteString(text[done:])
	return b.String(), nil
}

// Place is a piece of a text, in bytes, end not included.
type Place struct{ Start, End int }

// Find returns the pieces of text whose terms the query has, in order; none
// overlap.
func Find(analyzer, query, text string) ([]Place, error) {
	a, err := New(analyzer)
	if err != nil {
		return nil, err
	}
	wanted, asking := map[string]bool{}, map[string]bool{}
	a.Reset(query)
	for term, ok := a.Next(); ok; term, ok = a.Next() {
		if a.Incidental(term) {
			asking[string(term)] = true
		} else {
			wanted[string(term)] = true
		}
	}
	if len(wanted) == 0 {
		wanted = asking
	}
	var hits []Place
	a.Reset(text)
	for start, end, ok := a.Token(); ok; start, end, ok = a.Token() {
		for _, term := range a.Terms(text[start:end]) {
			if wanted[string(term.Text)] {
				hits = addPlace(hits, Place{start + term.From, start + term.To})
			}
		}
	}
	return hits, nil
}

// addPlace adds a place to ascending ones, joined with those that it overlaps.
func addPlace(places []Place, p Place) []Place {
	for n := len(places); n > 0 && places[n-1].End > p.Start; n = len(places) {
		last := places[n-1]
		p.Start, p.End = min(p.Start, last.Start), max(p.End, last.End)
		places = places[:n-1]
	}
	return append(places, p)
}
