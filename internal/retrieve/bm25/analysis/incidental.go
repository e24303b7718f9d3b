package analysis

import "strings"

// incidentalWords say how something is asked rather than what: rare in documents and
// so of much weight, they would find whatever talks to its reader. They are indexed
// all the same.
const incidentalWords = "how do does did doing i what which who whom whose where when why can could should would may might must shall am you your my me mine we our us he she his her hers its have has had having been being were from so than some any"

var incidental = func() map[string]bool {
	set := map[string]bool{}
	var b termBuilder
	for word := range strings.FieldsSeq(incidentalWords) {
		for _, t := range b.terms(word) {
			set[string(t.Text)] = true
		}
	}
	return set
}()

// Incidental reports whether a query that has other terms may leave a term out. Only
// folding has such terms.
func (a *Analyzer) Incidental(term []byte) bool {
	_, folds := a.finder.(*folding)
	return folds && incidental[string(term)]
}
