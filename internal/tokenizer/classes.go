package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// class is what the pre-tokenizers' expressions tell apart. Every character has exactly one.
type class uint8

const (
	other  class = iota // [^\s\p{L}\p{N}]; also a byte that is no UTF-8
	letter              // \p{L}
	number              // \p{N}
	space               // \s
)

var asciiClass = func() (classes [utf8.RuneSelf]class) {
	for r := range rune(utf8.RuneSelf) {
		classes[r] = classOf(r)
	}
	return classes
}()

func classOf(r rune) class {
	switch {
	case unicode.IsLetter(r), unicode.Is(newLetters, r):
		return letter
	case unicode.IsNumber(r), unicode.Is(newNumbers, r):
		return number
	case unicode.IsSpace(r):
		return space
	}
	return other
}

// cases tells whether a character is a small letter, a capital one, or, like letters without case and marks, both:
// [\p{Ll}\p{Lm}\p{Lo}\p{M}] and [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}].
func cases(r rune) (small, capital bool) {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z'
	}
	switch {
	case unicode.In(r, unicode.Lu, unicode.Lt, newCapitals):
		return false, true
	case unicode.In(r, unicode.Ll, newSmalls):
		return true, false
	}
	both := classOf(r) == letter || unicode.Is(unicode.M, r)
	return both, both
}

// first gives the class and length of text's first character; the length is 0 at the end.
func first(text string) (class, int) {
	if len(text) == 0 {
		return other, 0
	}
	if b := text[0]; b < utf8.RuneSelf {
		return asciiClass[b], 1
	}
	r, n := utf8.DecodeRuneInString(text)
	return classOf(r), n
}

// run is the length of the characters of one class that text begins with.
func run(text string, c class) int {
	i := 0
	for i < len(text) {
		found, n := first(text[i:])
		if found != c {
			break
		}
		i += n
	}
	return i
}

// indexNumeric gives the place and length of the first digit or other numeric character; its place is the end of text and
// its length 0 when there is none.
func indexNumeric(text string) (at, length int) {
	for at < len(text) {
		if b := text[at]; b < utf8.RuneSelf {
			if '0' <= b && b <= '9' {
				return at, 1
			}
			at++
			continue
		}
		r, n := utf8.DecodeRuneInString(text[at:])
		if classOf(r) == number || unicode.Is(newestNumbers, r) {
			return at, n
		}
		at += n
	}
	return at, 0
}

// Go's tables are those of Unicode 15, the reference's of Unicode 16 and, where it looks for digits, 17. These are the
// letters and numbers that came in between.
var (
	newLetters = &unicode.RangeTable{
		R16: []unicode.Range16{{0x1c89, 0x1c8a, 1}, {0xa7cb, 0xa7cd, 1}, {0xa7da, 0xa7dc, 1}},
		R32: []unicode.Range32{
			{0x105c0, 0x105f3, 1}, {0x10d4a, 0x10d65, 1}, {0x10d6f, 0x10d85, 1}, {0x10ec2, 0x10ec4, 1}, {0x11380, 0x11389, 1},
			{0x1138b, 0x1138b, 1}, {0x1138e, 0x1138e, 1}, {0x11390, 0x113b5, 1}, {0x113b7, 0x113b7, 1}, {0x113d1, 0x113d1, 1},
			{0x113d3, 0x113d3, 1}, {0x11bc0, 0x11be0, 1}, {0x13460, 0x143fa, 1}, {0x16100, 0x1611d, 1}, {0x16d40, 0x16d6c, 1},
			{0x18cff, 0x18cff, 1}, {0x1e5d0, 0x1e5ed, 1}, {0x1e5f0, 0x1e5f0, 1}, {0x2ebf0, 0x2ee5d, 1},
		},
	}
	newCapitals = &unicode.RangeTable{
		R16: []unicode.Range16{{0x1c89, 0x1c89, 1}, {0xa7cb, 0xa7cc, 1}, {0xa7da, 0xa7dc, 2}},
		R32: []unicode.Range32{{0x10d50, 0x10d65, 1}},
	}
	newSmalls = &unicode.RangeTable{
		R16: []unicode.Range16{{0x1c8a, 0x1c8a, 1}, {0xa7cd, 0xa7cd, 1}, {0xa7db, 0xa7db, 1}},
		R32: []unicode.Range32{{0x10d70, 0x10d85, 1}},
	}
	newNumbers = &unicode.RangeTable{
		R32: []unicode.Range32{
			{0x10d40, 0x10d49, 1}, {0x116d0, 0x116e3, 1}, {0x11bf0, 0x11bf9, 1}, {0x16130, 0x16139, 1}, {0x16d70, 0x16d79, 1},
			{0x1ccf0, 0x1ccf9, 1}, {0x1e5f1, 0x1e5fa, 1},
		},
	}
	newestNumbers = &unicode.RangeTable{
		R32: []unicode.Range32{{0x11de0, 0x11de9, 1}, {0x16ff4, 0x16ff6, 1}},
	}
)
