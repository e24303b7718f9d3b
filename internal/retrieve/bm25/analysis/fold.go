package analysis

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// char is a folded character of a token and the bytes of the token that it came
// from.
type char struct {
	r        rune
	from, to int
}

// appendFolded appends the token's characters without what spelling may leave
// out: compatible forms (ligatures, full width) are as plain ones, accents of Latin
// and Greek, stresses, Hebrew and Arabic points and invisible characters are
// dropped, letters with a common transcription are written by it. Case is kept.
func appendFolded(dst []char, token string) []char {
	for i := range len(token) {
		if token[i] >= utf8.RuneSelf {
			return appendFoldedUnicode(dst, token)
		}
		dst = append(dst, char{rune(token[i]), i, i + 1})
	}
	return dst
}

func appendFoldedUnicode(dst []char, token string) []char {
	dst = dst[:0]
	var it norm.Iter
	it.InitString(norm.NFKC, token)
	for !it.Done() {
		from := it.Pos()
		segment := it.Next()
		to := it.Pos()
		if to <= from { // a character of which more segments come
			_, size := utf8.DecodeRuneInString(token[from:])
			to = from + size
		}
		for len(segment) > 0 {
			r, size := utf8.DecodeRune(segment)
			segment = segment[size:]
			dst = appendFoldedRune(dst, r, from, to)
		}
	}
	return dst
}

func appendFoldedRune(dst []char, r rune, from, to int) []char {
	switch {
	case r < utf8.RuneSelf:
		return append(dst, char{r, from, to})
	case isDropped(r):
		return dst
	}
	if s, ok := transcribed[r]; ok {
		for _, r := range s {
			dst = append(dst, char{r, from, to})
		}
		return dst
	}
	if hasAccents(r) {
		var buf [utf8.UTFMax]byte
		n := utf8.EncodeRune(buf[:], r)
		for d := norm.NFD.Properties(buf[:n]).Decomposition(); len(d) > 0; {
			base, size := utf8.DecodeRune(d)
			d = d[size:]
			if !isDropped(base) {
				dst = append(dst, char{base, from, to})
			}
			if len(d) == 0 {
				return dst
			}
		}
	}
	if v, ok := digitValue(r); ok {
		r = '0' + v
	}
	return append(dst, char{r, from, to})
}

// hasAccents reports whether a letter is of a script whose accents are dropped.
// Cyrillic is not: й is a letter of its own.
func hasAccents(r rune) bool {
	return r < 0x250 || r >= 0x370 && r < 0x400 || r >= 0x1e00 && r < 0x2000
}

// isDropped reports whether folding leaves a character out.
func isDropped(r rune) bool {
	switch {
	case r >= 0x300 && r <= 0x36f, r >= 0x1ab0 && r <= 0x1aff, r >= 0x1dc0 && r <= 0x1dff,
		r >= 0x20d0 && r <= 0x20ff, r >= 0xfe20 && r <= 0xfe2f:
		return true // combining marks of no script
	case r >= 0x591 && r <= 0x5bd, r == 0x5bf, r == 0x5c1, r == 0x5c2, r == 0x5c4, r == 0x5c5, r == 0x5c7:
		return true // Hebrew points
	case r >= 0x610 && r <= 0x61a, r == 0x640, r >= 0x64b && r <= 0x65f, r == 0x670,
		r >= 0x6d6 && r <= 0x6dc, r >= 0x6df && r <= 0x6e4, r == 0x6e7, r == 0x6e8, r >= 0x6ea && r <= 0x6ed:
		return true // Arabic points and the stretching stroke
	case r >= 0xfe00 && r <= 0xfe0f, r == zeroWidthSpace:
		return true
	}
	return unicode.Is(unicode.Cf, r)
}

// transcribed are letters that have no decomposition and yet another spelling.
var transcribed = map[rune]string{
	'ß': "ss", 'ẞ': "SS", 'æ': "ae", 'Æ': "AE", 'œ': "oe", 'Œ': "OE", 'ø': "o", 'Ø': "O", 'đ': "d", 'Đ': "D",
	'ð': "d", 'Ð': "D", 'þ': "th", 'Þ': "TH", 'ł': "l", 'Ł': "L", 'ħ': "h", 'Ħ': "H", 'ŧ': "t", 'Ŧ': "T",
	'ŋ': "n", 'Ŋ': "N", 'ı': "i", 'ĸ': "k", 'ς': "σ", 'ё': "е", 'Ё': "Е",
	'أ': "ا", 'إ': "ا", 'آ': "ا", 'ٱ': "ا", 'ى': "ي", 'ی': "ي", 'ئ': "ي", 'ؤ': "و", 'ة': "ه", 'ک': "ك",
	'‘': "'", '’': "'", 'ʼ': "'", '‐': "-", '‑': "-",
}

// digitValue returns the value of a decimal digit of any script.
func digitValue(r rune) (v rune, ok bool) {
	if !unicode.Is(unicode.Nd, r) {
		return 0, false
	}
	// The digits of a script are ten in a row from nought.
	for v < 9 && unicode.Is(unicode.Nd, r-v-1) {
		v++
	}
	return v, true
}
