package analysis

import (
	"unicode/utf8"

	porterstemmer "github.com/blevesearch/go-porterstemmer"
)

// stemmer runs Porter's algorithm over terms in lower case.
type stemmer struct{ runes []rune }

// stem returns the stem in term's storage.
func (s *stemmer) stem(term []byte) []byte {
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
