// Package analysis turns text into index terms: English as Lucene's
// EnglishAnalyzer does it, and a plain analyser for every other language.
package analysis

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The names of the analysers, as the index's manifest keeps them.
const (
	English = "english" // StandardTokenizer, possessive, lower case, 33 stop words, Porter
	Unicode = "unicode" // StandardTokenizer, lower case
)

// Analyzer yields the terms of a text. It is used by one goroutine at a time.
type Analyzer struct {
	tok     Tokenizer
	text    string
	english bool
	buf     []byte
	stemmer stemmer
}

// New returns the analyser of that name.
func New(name string) (*Analyzer, error) {
	switch name {
	case English, Unicode:
		return &Analyzer{english: name == English}, nil
	}
	return nil, fmt.Errorf("no analyser %q; there are %s and %s", name, English, Unicode)
}

// Reset starts on a new text.
func (a *Analyzer) Reset(text string) {
	a.text = text
	a.tok.Reset(text)
}

// Token returns the next token as it stands in the text and its place.
func (a *Analyzer) Token() (start, end int, ok bool) { return a.tok.Next() }

// Next returns the next term, valid until the next call.
func (a *Analyzer) Next() (term []byte, ok bool) {
	for {
		start, end, ok := a.tok.Next()
		if !ok {
			return nil, false
		}
		if term = a.Normalize(a.text[start:end]); term != nil {
			return term, true
		}
	}
}

// Normalize returns the term of a token, valid until the next call, or nil if
// the token is a stop word.
func (a *Analyzer) Normalize(token string) []byte {
	if a.english {
		token = dropPossessive(token)
	}
	a.buf = appendLower(a.buf[:0], token)
	if !a.english {
		return a.buf
	}
	if isStopWord(a.buf) {
		return nil
	}
	a.buf = a.stemmer.stem(a.buf)
	return a.buf
}

// dropPossessive drops a final 's, with any of the three apostrophes.
func dropPossessive(token string) string {
	if n := len(token); n < 2 || token[n-1]|0x20 != 's' {
		return token
	}
	body := token[:len(token)-1]
	for _, quote := range []string{"'", "\u2019", "\uff07"} {
		if rest, ok := strings.CutSuffix(body, quote); ok {
			return rest
		}
	}
	return token
}

func appendLower(dst []byte, token string) []byte {
	for i := 0; i < len(token); i++ {
		b := token[i]
		if b >= utf8.RuneSelf {
			for _, r := range token[i:] {
				dst = utf8.AppendRune(dst, unicode.ToLower(r))
			}
			return dst
		}
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		dst = append(dst, b)
	}
	return dst
}

// stopWords are those of Lucene's EnglishAnalyzer.
var stopWords = [][]byte{
	[]byte("a"), []byte("an"), []byte("and"), []byte("are"), []byte("as"), []byte("at"), []byte("be"),
	[]byte("but"), []byte("by"), []byte("for"), []byte("if"), []byte("in"), []byte("into"), []byte("is"),
	[]byte("it"), []byte("no"), []byte("not"), []byte("of"), []byte("on"), []byte("or"), []byte("such"),
	[]byte("that"), []byte("the"), []byte("their"), []byte("then"), []byte("there"), []byte("these"),
	[]byte("they"), []byte("this"), []byte("to"), []byte("was"), []byte("will"), []byte("with"),
}

func isStopWord(term []byte) bool {
	if len(term) > 5 {
		return false
	}
	for _, w := range stopWords {
		if bytes.Equal(w, term) {
			return true
		}
	}
	return false
}
