package analysis

import "unicode/utf8"

// script groups the scripts by how their words are found.
type script uint8

const (
	spaced   script = iota // words with blanks between them
	unspaced               // Chinese, Japanese, Thai and the like
	hangul                 // blanks stand between phrases: words with their particles
	arabic
	hebrewScript
	cyrillic
)

// scriptOf returns the script of a letter.
func scriptOf(r rune) script {
	switch {
	case r < 0x400:
		return spaced
	case r <= 0x52f:
		return cyrillic
	case r >= 0x5d0 && r <= 0x5ea:
		return hebrewScript
	case r >= 0x620 && r <= 0x6ff:
		return arabic
	case r >= 0xac00 && r <= 0xd7a3:
		return hangul
	}
	if r >= 0xe00 && unspacedClass(r, classOf(r)) {
		return unspaced
	}
	return spaced
}

// scriptAt returns the script of the letter at i.
func scriptAt(text string, i int) script {
	if text[i] < utf8.RuneSelf {
		return spaced
	}
	r, _ := utf8.DecodeRuneInString(text[i:])
	return scriptOf(r)
}

func isComplex(c class) bool { return c == complex || c == complexExtend }

// unspacedClass reports whether a character, of class c, stands in text without
// blanks between words.
func unspacedClass(r rune, c class) bool {
	switch c {
	case han, hiragana, katakana, complex, complexExtend:
		return true
	case letter:
		return r == '々' || r == '〆' || r == '〻' || r == '〼'
	}
	return false
}

// particles are the syllables that Korean puts behind a noun.
const particles = "은는이가을를의에도만와과로"

// arabicPrefixes and arabicSuffixes are those that light stemming takes off, in the
// order in which they are tried.
var (
	arabicPrefixes = []string{"ال", "وال", "بال", "كال", "فال", "لل", "و"}
	arabicSuffixes = []string{"ها", "ان", "ات", "ون", "ين", "يه", "ه", "ي"}
)

// hebrewPrefixes are the letters for and, the, in, to, as and that, which Hebrew
// writes together with the word.
const hebrewPrefixes = "והבלכש"
