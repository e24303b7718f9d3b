package analysis

import "strings"

// Mark returns text with the words whose terms the query has put between open
// and end.
func Mark(analyzer, query, text, open, end string) (string, error) {
	a, err := New(analyzer)
	if err != nil {
		return "", err
	}
	wanted := map[string]bool{}
	a.Reset(query)
	for term, ok := a.Next(); ok; term, ok = a.Next() {
		wanted[string(term)] = true
	}
	var b strings.Builder
	done := 0
	a.Reset(text)
	for from, to, ok := a.Token(); ok; from, to, ok = a.Token() {
		if term := a.Normalize(text[from:to]); term != nil && wanted[string(term)] {
			b.WriteString(text[done:from])
			b.WriteString(open + text[from:to] + end)
			done = to
		}
	}
	b.WriteString(text[done:])
	return b.String(), nil
}
