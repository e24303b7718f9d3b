package analysis

import "sort"

// class is what the word break rules (Unicode Standard Annex 29) and the emoji
// rules (Unicode Technical Standard 51) see of a character.
type class uint8

const (
	other class = iota
	letter
	hebrew
	digit   // 0 to 9, which may also begin a keycap
	numeric // any other digit
	katakana
	extendNumLet // joins words, like the low line
	midLetter    // joins letters, like the colon
	midNum       // joins digits, like the comma
	midNumLet    // joins either, like the full stop
	singleQuote
	doubleQuote
	extend        // combining marks and format characters: part of what stands before
	complex       // scripts without blanks between words, like Thai
	complexExtend // combining marks of those
	han
	hiragana
	pictograph  // emoji
	pictoLetter // an emoji that is also a letter
	modifier    // skin tones
	regional    // flag letters
	keycapBase  // '#' and '*'
	keycap      // U+20E3
	joiner      // U+200D
	textSelector
	emojiSelector
	tag
	tagEnd
)

// classRange gives the characters lo to hi one class.
type classRange struct {
	lo, hi rune
	class  class
}

// asciiClass holds the classes of the first 128 characters, where nearly all
// lookups end.
var asciiClass = func() (t [128]class) {
	for r := range t {
		t[r] = searchClass(rune(r))
	}
	return t
}()

func classOf(r rune) class {
	if r < 128 {
		return asciiClass[r]
	}
	return searchClass(r)
}

func searchClass(r rune) class {
	i := sort.Search(len(classRanges), func(i int) bool { return classRanges[i].hi >= r })
	if i < len(classRanges) && classRanges[i].lo <= r {
		return classRanges[i].class
	}
	return other
}

// extends reports whether characters of this class belong to the one before.
func (c class) extends() bool {
	switch c {
	case extend, complexExtend, modifier, joiner, keycap, textSelector, emojiSelector, tag, tagEnd:
		return true
	}
	return false
}
