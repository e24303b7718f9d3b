package analysis

import (
	"unicode"
	"unicode/utf8"
)

// folding finds what people type, however documents spell it.
//
// Its tokens are the tokenizer's words, but what a writer joined by a hyphen, also
// over a line's end, by an ampersand or by an invisible break is one token; so are
// digits grouped by fixed blanks, and C++, C# and .NET with their signs. Text of
// scripts without blanks between words is cut into overlapping pairs of characters.
//
// A token's terms (terms.go) are its folded spelling and, where it has several,
// its parts.
type folding struct {
	tok  Tokenizer
	text string

	pairs, pairsEnd int // what is left of a run of characters to be paired
	paired          bool

	builder termBuilder
}

// maxJoined is how many words one token takes in.
const maxJoined = 4

func (f *folding) reset(text string) {
	f.tok.Reset(text)
	f.text, f.pairs, f.pairsEnd = text, 0, 0
}

func (f *folding) Token() (start, end int, ok bool) {
	for {
		if f.pairs < f.pairsEnd {
			if start, end, ok = f.pair(); ok {
				return start, end, true
			}
			continue
		}
		start, end, ok = f.tok.Next()
		if !ok {
			return 0, 0, false
		}
		if s := scriptAt(f.text, start); s == unspaced {
			f.pairs, f.pairsEnd, f.paired = start, endOfUnspaced(f.text, start), false
			f.tok.at = max(end, f.pairsEnd)
			continue
		}
		start, end = f.join(start, end)
		f.tok.at = end
		return start, end, true
	}
}

func (f *folding) Terms(token string) []Term { return f.builder.terms(token) }

// pair returns the next two characters of the run. The last one stands alone too
// if it may be a word of its own; ok is false if it may not.
func (f *folding) pair() (start, end int, ok bool) {
	start = f.pairs
	end = endOfCharacter(f.text[:f.pairsEnd], start)
	f.pairs = end
	if end < f.pairsEnd {
		f.paired = true
		return start, endOfCharacter(f.text[:f.pairsEnd], end), true
	}
	return start, end, !f.paired || wordAlone(f.text[start:end])
}

// endOfUnspaced returns the end of the run of unspaced script that begins at start.
func endOfUnspaced(text string, start int) int {
	first, _ := utf8.DecodeRuneInString(text[start:])
	thai := isComplex(classOf(first))
	for i := start; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		c := classOf(r)
		if !c.extends() && (!unspacedClass(r, c) || isComplex(c) != thai) {
			return i
		}
		i += size
	}
	return len(text)
}

// endOfCharacter returns the end of the character at i with its marks.
func endOfCharacter(text string, i int) int {
	const most = 8 // marks; no language has more
	for n := range most {
		r, size := utf8.DecodeRuneInString(text[i:])
		if size == 0 || n > 0 && !classOf(r).extends() {
			break
		}
		i += size
	}
	return i
}

// wordAlone reports whether a character of an unspaced script is found by itself
// though it stands among others: an ideograph, or a letter of Thai with its vowel.
func wordAlone(character string) bool {
	r, size := utf8.DecodeRuneInString(character)
	switch c := classOf(r); {
	case c == han:
		return true
	case isComplex(c):
		return size < len(character)
	}
	return false
}

// join returns the token that the word text[start:end] belongs to.
func (f *folding) join(start, end int) (int, int) {
	text := f.text
	if start > 0 && text[start-1] == '.' && isLetterAt(text, start) && !joinsBefore(text[:start-1]) {
		start-- // .NET
	}
	for joined := 1; joined < maxJoined && end < len(text); joined++ {
		next := joint(text, start, end)
		if next < 0 || scriptAt(text, next) == unspaced {
			break
		}
		f.tok.at = end
		from, to, ok := f.tok.Next()
		if !ok || from != next {
			break
		}
		end = to
	}
	return start, endOfSigns(text, start, end)
}

// joint returns where the word begins that continues the one of text[start:end],
// or -1.
func joint(text string, start, end int) int {
	i, sign := end, rune(text[end])
	size := 1
	if sign >= utf8.RuneSelf {
		sign, size = utf8.DecodeRuneInString(text[i:])
	}
	i += size
	switch sign {
	case '-', '\u2010', '\u2011':
		if isDigitAt(text, i) && onlyDigits(text[start:end]) {
			return -1 // a date or a telephone number
		}
		if isWordAt(text, i) {
			return i
		}
		return hyphenated(text, i)
	case '\n':
		if last, _ := utf8.DecodeLastRuneInString(text[:end]); last == softHyphen {
			return hyphenated(text, end)
		}
	case '&':
		if last, _ := utf8.DecodeLastRuneInString(text[:end]); unicode.IsLetter(last) && isLetterAt(text, i) {
			return i
		}
	case zeroWidthSpace:
		if isWordAt(text, i) {
			return i
		}
	case '\u00a0', '\u2009':
		if onlyDigits(text[start:end]) && len(text) >= i+3 && onlyDigits(text[i:i+3]) && !isWordAt(text, i+3) {
			return i
		}
	}
	return -1
}

const (
	softHyphen     = '\u00ad'
	zeroWidthSpace = '\u200b'
)

// hyphenated returns where the rest of a word begins that was broken at a line's
// end, which is at i but for blanks, or -1.
func hyphenated(text string, i int) int {
	lines := 0
	for ; i < len(text); i++ {
		switch text[i] {
		case '\n':
			if lines++; lines > 1 {
				return -1
			}
			continue
		case ' ', '\t', '\r':
			continue
		}
		break
	}
	if r, _ := utf8.DecodeRuneInString(text[i:]); lines == 1 && unicode.IsLower(r) {
		return i
	}
	return -1
}

// endOfSigns takes the signs of C++, C# and their like into the word.
func endOfSigns(text string, start, end int) int {
	i := end
	switch {
	case i+1 < len(text) && text[i] == '+' && text[i+1] == '+':
		i += 2
	case i < len(text) && text[i] == '#':
		i++
	default:
		return end
	}
	if isWordAt(text, i) || !isLetterAt(text, start) || i < len(text) && (text[i] == '+' || text[i] == '#') {
		return end
	}
	return i
}

// joinsBefore reports whether the last character of text belongs to a word or
// number that a full stop behind it may go on with.
func joinsBefore(text string) bool {
	r, size := utf8.DecodeLastRuneInString(text)
	return size > 0 && (r == '.' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || r == '_' || r == ')' || r == ']')
}

func isWordAt(text string, i int) bool { return isLetterAt(text, i) || isDigitAt(text, i) }

func isLetterAt(text string, i int) bool {
	r, _ := utf8.DecodeRuneInString(text[i:])
	return unicode.IsLetter(r)
}

func isDigitAt(text string, i int) bool {
	r, _ := utf8.DecodeRuneInString(text[i:])
	return unicode.IsDigit(r)
}

func onlyDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
