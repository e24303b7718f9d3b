package analysis

import (
	"unicode/utf8"

	porterstemmer "github.com/blevesearch/go-porterstemmer"
)

// stemmer runs Porter's algorithm over terms in lower case.
type stemmer struct{ runes []rune }

// bare are words that are nothing but a suffix, where the library strays from
// the algorithm.
var bare = map[string]string{"eed": "eed", "eeds": "eed", "ies": "i", "sses": "ss"}

// stem returns the stem in term's storage.
func (s *stemmer) stem(term []byte) []byte {
	if len(term) <= 4 {
		if stem, ok := bare[string(term)]; ok {
			return append(term[:0], stem...)
		}
	}
	s.runes = s.runes[:0]
	for i := 0; i < len(term); {
		r, size := utf8.DecodeRune(term[i:])
		s.runes = append(s.runes, r)
		i += size
	}
	term = term[:0]
	for _, r := range porterstemmer.StemWithoutLowerCasing(s.runes) {
		term = utf8.AppendRune(term, r)
	}
	return term
}
