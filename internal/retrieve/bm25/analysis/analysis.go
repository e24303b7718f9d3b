// Package analysis turns text into index terms: by folding whatever people type
// and documents hold to one form, as Lucene's EnglishAnalyzer does it, or by words
// alone.
//
// An analyser finds tokens, places in the text, and tells each token's terms from
// the token's text alone. So an index may keep the terms of a token that it has met,
// and a reader can be shown which piece of the text a term was.
package analysis

import "fmt"

// The names of the analysers, as the index's manifest keeps them.
const (
	Folding = "folding" // what people type: any script, spelling and identifier (folding.go)
	English = "english" // StandardTokenizer, possessive, lower case, 33 stop words, Porter
	Unicode = "unicode" // StandardTokenizer, lower case
)

// Names are the names of all analysers.
func Names() []string { return []string{Folding, English, Unicode} }

// Term is a term of a token.
type Term struct {
	Text     []byte
	From, To int // the piece of the token that it stands for, in bytes
}

// Analyzer yields the terms of a text. It is used by one goroutine at a time.
type Analyzer struct {
	finder
	text  string
	terms []Term // of the present token, those that Next has not yet yielded
}

// finder is what analysers differ in.
type finder interface {
	// reset starts on a new text.
	reset(text string)
	// Token returns the next token's place in the text. Starts ascend; a token may
	// overlap the one before it.
	Token() (start, end int, ok bool)
	// Terms returns the terms of a token, none for a stop word; they are valid until
	// the next call.
	Terms(token string) []Term
}

// New returns the analyser of that name.
func New(name string) (*Analyzer, error) {
	switch name {
	case Folding:
		return &Analyzer{finder: &folding{}}, nil
	case English, Unicode:
		return &Analyzer{finder: &plain{english: name == English}}, nil
	}
	return nil, fmt.Errorf("no analyser %q; there are %s, %s and %s", name, Folding, English, Unicode)
}

// Reset starts on a new text.
func (a *Analyzer) Reset(text string) {
	a.text, a.terms = text, nil
	a.reset(text)
}

// Next returns the next term, valid until the next call.
func (a *Analyzer) Next() (term []byte, ok bool) {
	for len(a.terms) == 0 {
		start, end, ok := a.Token()
		if !ok {
			return nil, false
		}
		a.terms = a.Terms(a.text[start:end])
	}
	term = a.terms[0].Text
	a.terms = a.terms[1:]
	return term, true
}
