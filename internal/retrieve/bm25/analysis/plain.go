package analysis

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// plain finds words and lowers their case; in English it also drops stop words
// and stems.
type plain struct {
	tok     Tokenizer
	english bool
	buf     []byte
	stemmer stemmer
	term    [1]Term
}

func (a *plain) reset(text string) { a.tok.Reset(text) }

func (a *plain) Token() (start, end int, ok bool) { return a.tok.Next() }

func (a *plain) Terms(token string) []Term {
	word := token
	if a.english {
		word = dropPossessive(token)
	}
	a.buf = appendLower(a.buf[:0], word)
	if a.english {
		if isStopWord(a.buf) {
			return nil
		}
		a.buf = a.stemmer.stem(a.buf)
	}
	a.term[0] = Term{a.buf, 0, len(token)}
	return a.term[:]
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
