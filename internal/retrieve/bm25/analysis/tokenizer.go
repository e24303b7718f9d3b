package analysis

import "unicode/utf8"

// maxToken is where Lucene splits long tokens, in UTF-16 units.
const maxToken = 255

// Tokenizer finds the words of a text as Lucene's StandardTokenizer does: by the
// word break rules of Unicode, dropping what is neither word, number, ideograph
// nor emoji.
type Tokenizer struct {
	text string
	at   int
}

// Reset starts on a new text.
func (t *Tokenizer) Reset(text string) { t.text, t.at = text, 0 }

// Next returns the byte range of the next token.
func (t *Tokenizer) Next() (start, end int, ok bool) {
	text := t.text
	for t.at < len(text) {
		start = t.at
		if b := text[start]; b < utf8.RuneSelf && !opens[b] {
			t.at++
			continue
		}
		if end, ok = asciiWord(text, start); !ok {
			if end = longest(text, start); end-start > maxToken {
				end = longest(text[:windowEnd(text, start)], start)
			}
		}
		if end > start {
			t.at = end
			return start, end, true
		}
		_, size := utf8.DecodeRuneInString(text[start:])
		t.at = start + size
	}
	return 0, 0, false
}

// opens tells which ASCII characters a token may begin with.
var opens = func() (t [utf8.RuneSelf]bool) {
	for b := range t {
		switch classOf(rune(b)) {
		case letter, digit, extendNumLet, keycapBase:
			t[b] = true
		}
	}
	return t
}()

// longest returns the end of the longest match of any rule; start if none does.
func longest(text string, start int) int {
	// No match that is looked at is longer than this, however long the text.
	w := window{text[:min(len(text), start+8*maxToken)]}
	return max(w.word(start), w.complex(start), w.emoji(start), w.ideograph(start))
}

// asciiWord returns the end of a word of ASCII letters and digits alone; ok is
// false where the full rules are needed.
func asciiWord(text string, start int) (end int, ok bool) {
	end = start
	for end < len(text) && text[end] < utf8.RuneSelf {
		if c := asciiClass[text[end]]; c != letter && c != digit {
			break
		}
		end++
	}
	if end == start || end-start > maxToken {
		return 0, false
	}
	if end == len(text) {
		return end, true
	}
	next := text[end]
	if next >= utf8.RuneSelf {
		return 0, false
	}
	switch asciiClass[next] {
	case other, doubleQuote, keycapBase:
		return end, true
	case extendNumLet:
		return 0, false
	}
	// A joining character: the word ends here unless a letter or digit follows.
	if end+1 == len(text) || text[end+1] == ' ' || text[end+1] == '\n' {
		return end, true
	}
	return 0, false
}

// windowEnd returns where the scanner's window of maxToken UTF-16 units ends.
func windowEnd(text string, start int) int {
	if len(text)-start <= maxToken {
		return len(text)
	}
	units := 0
	for i, r := range text[start:] {
		if units++; r > 0xffff {
			units++
		}
		if units > maxToken {
			return start + i
		}
	}
	return len(text)
}

// window applies the rules to a text that ends where no rule may look further.
// Each rule returns the end of its longest match from start, or start.
type window struct{ text string }

// next returns the class of the character at i and where it ends; other and i
// at the end.
func (w window) next(i int) (class, int) {
	if i >= len(w.text) {
		return other, i
	}
	r, size := utf8.DecodeRuneInString(w.text[i:])
	return classOf(r), i + size
}

// skipExtend passes the characters that belong to the one before i.
func (w window) skipExtend(i int) int {
	for {
		c, j := w.next(i)
		if !c.extends() {
			return i
		}
		i = j
	}
}

// nextEx is next with the extending characters behind it.
func (w window) nextEx(i int) (class, int) {
	c, j := w.next(i)
	if j == i {
		return c, j
	}
	return c, w.skipExtend(j)
}

// word matches letters, digits and Katakana with what joins them (rules WB5 to
// WB13b). Low lines alone are no word.
func (w window) word(start int) int {
	last := extendNumLet // as at the start, where anything may follow
	fresh := false       // a Hebrew quote has just ended, which nothing may join to
	joined := false      // the last letter came behind a joining character
	quotable := false    // a quote may follow the last letter, if that is Hebrew
	i, end := start, start
	for {
		c, j := w.nextEx(i)
		switch c {
		case letter, hebrew, pictoLetter:
			if last == katakana {
				return end
			}
			if c == pictoLetter {
				c = letter
			}
		case digit, numeric:
			if last == katakana {
				return end
			}
			c = numeric
		case katakana:
			if last != katakana && last != extendNumLet {
				return end
			}
		case extendNumLet:
			last, i = c, j
			if end > start {
				end = j
			}
			continue
		case midLetter, midNum, midNumLet, singleQuote, doubleQuote:
			after, k := w.nextEx(j)
			isLetter := after == letter || after == hebrew || after == pictoLetter
			isDigit := after == digit || after == numeric
			switch {
			case (last == letter || last == hebrew) && !fresh && isLetter && c != midNum && c != doubleQuote,
				last == numeric && isDigit && c != midLetter && c != doubleQuote:
			case last == hebrew && !fresh && quotable && c == singleQuote:
				i, end = j, j
				fresh = true
				continue
			case last == hebrew && !fresh && quotable && c == doubleQuote && after == hebrew:
				i, end = k, k
				fresh = true
				continue
			default:
				return end
			}
			i, joined = j, true
			quotable = quotable && last == hebrew && c == singleQuote
			continue
		default:
			return end
		}
		quotable = quotable || !joined
		last, fresh, joined = c, false, false
		i, end = j, j
	}
}

// complex matches a run of a script that has no blanks between words.
func (w window) complex(start int) int {
	i := start
	for {
		c, j := w.nextEx(i)
		if c != complex && c != complexExtend {
			return i
		}
		i = j
	}
}

// ideograph matches one Han or Hiragana character.
func (w window) ideograph(start int) int {
	if c, j := w.nextEx(start); c == han || c == hiragana {
		return j
	}
	return start
}

// emoji matches an emoji sequence: pictographs with modifiers, joined by U+200D,
// with tags; a keycap; or a flag.
func (w window) emoji(start int) int {
	c, j := w.next(start)
	switch c {
	case regional:
		if c, k := w.nextEx(w.skipExtend(j)); c == regional {
			return k
		}
		return start
	case digit, keycapBase:
		j = w.skipPlain(j)
		if c, k := w.next(j); c == emojiSelector {
			if c, k = w.next(k); c == keycap {
				return w.skipPlain(k)
			}
		}
		// The keycap, an extending character itself, may be among those passed.
		for i := start; i < j; {
			c, k := w.next(i)
			if c == keycap {
				return j
			}
			i = k
		}
		return start
	}
	i, end := start, start
	for {
		c, j := w.next(i)
		joiners := 0
		for ; c == joiner; joiners++ {
			c, j = w.next(j)
		}
		selector := false
		switch c {
		case pictograph, pictoLetter:
			j = w.skipPlain(j)
			if c, k := w.next(j); c == emojiSelector {
				j, selector = k, true
			}
		case modifier: // alone, so joiners do not belong to it
			if i == start && joiners > 0 || joiners > 1 {
				return end
			}
			j = w.skipPlain(j)
		default:
			return end
		}
		i, end = j, j
		if selector {
			if k := w.tags(j); k > j {
				return k
			}
		}
		if c, _ := w.next(j); c != joiner && !w.joinerBefore(j) {
			return end
		}
	}
}

// skipPlain passes extending characters other than the presentation selectors.
func (w window) skipPlain(i int) int {
	for {
		c, j := w.next(i)
		if !c.extends() || c == textSelector || c == emojiSelector {
			return i
		}
		i = j
	}
}

// joinerBefore reports whether the character before i is U+200D.
func (w window) joinerBefore(i int) bool {
	r, _ := utf8.DecodeLastRuneInString(w.text[:i])
	return r == '\u200d'
}

// tags matches one or more tags and their end.
func (w window) tags(i int) int {
	for j := i; ; {
		c, k := w.next(j)
		if c == tagEnd && j > i {
			return k
		}
		if c != tag {
			return i
		}
		j = k
	}
}
