package analysis

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// termBuilder makes the terms of folding's tokens.
type termBuilder struct {
	chars   []char
	parts   []part
	bytes   []byte // of all terms
	ends    []int  // of each term in bytes
	out     []Term
	stemmer stemmer
}

// part is a run of a token's characters: a word of it.
type part struct {
	start, end int
	script     script
}

// maxParts is how many parts a token has that is not just noise, like a hash.
const maxParts = 8

// terms returns the terms of a token: of a single word its folded, stemmed
// spelling; of several words that of the whole, written together, and those of the
// parts.
func (b *termBuilder) terms(token string) []Term {
	b.bytes, b.ends, b.out = b.bytes[:0], b.ends[:0], b.out[:0]
	b.chars = appendFolded(b.chars[:0], token)
	b.chars = dropApostrophes(b.chars)
	b.split()
	switch {
	case len(b.parts) == 0:
		b.symbols()
	case len(b.parts) == 1 && !b.signed():
		b.word(b.parts[0])
	default:
		if b.oneScript() {
			b.whole(0, len(b.chars))
		}
		if len(b.parts) <= maxParts && !b.number() {
			for i, p := range b.parts {
				if p.script != spaced || p.end-p.start > 1 {
					b.word(p)
				}
				b.identifier(i)
			}
		}
	}
	start := 0
	for i, end := range b.ends {
		b.out[i].Text = b.bytes[start:end:end]
		start = end
	}
	return b.out
}

// end ends a term that stands for characters start to end.
func (b *termBuilder) end(start, end int) {
	b.ends = append(b.ends, len(b.bytes))
	b.out = append(b.out, Term{From: b.chars[start].from, To: b.chars[end-1].to})
}

// begin returns where the next term begins in b.bytes.
func (b *termBuilder) begin() int {
	if len(b.ends) == 0 {
		return 0
	}
	return b.ends[len(b.ends)-1]
}

func (b *termBuilder) lower(start, end int) {
	for _, c := range b.chars[start:end] {
		if c.r < utf8.RuneSelf {
			if 'A' <= c.r && c.r <= 'Z' {
				c.r += 'a' - 'A'
			}
			b.bytes = append(b.bytes, byte(c.r))
			continue
		}
		b.bytes = utf8.AppendRune(b.bytes, unicode.ToLower(c.r))
	}
}

// contracted are the endings that English joins by an apostrophe.
var contracted = []string{"t", "d", "m", "re", "ve", "ll"}

// dropApostrophes drops a final 's, and the apostrophe of doesn't.
func dropApostrophes(chars []char) []char {
	n := len(chars)
	if n > 2 && chars[n-2].r == '\'' && chars[n-1].r|0x20 == 's' {
		return chars[:n-2]
	}
	for _, ending := range contracted {
		at := n - len(ending) - 1
		if at <= 0 || chars[at].r != '\'' {
			continue
		}
		matches := true
		for i, r := range ending {
			matches = matches && chars[at+1+i].r|0x20 == r
		}
		if matches {
			return append(chars[:at], chars[at+1:]...)
		}
	}
	return chars
}

// split finds the token's parts: at signs, where the case rises, between letters
// and digits, and where the script changes.
func (b *termBuilder) split() {
	b.parts = b.parts[:0]
	for i := 0; i < len(b.chars); {
		if !isWordRune(b.chars[i].r) {
			i++
			continue
		}
		p := part{start: i, script: scriptOf(b.chars[i].r)}
		for i++; i < len(b.chars) && isWordRune(b.chars[i].r) && !b.boundary(i); i++ {
		}
		p.end = i
		b.parts = append(b.parts, p)
	}
}

// isWordRune reports whether a folded character belongs to words.
func isWordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r|0x20 && r|0x20 <= 'z' || '0' <= r && r <= '9'
	}
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r)
}

// boundary reports whether a part ends between the word characters before i and at i.
func (b *termBuilder) boundary(i int) bool {
	last, r := b.chars[i-1].r, b.chars[i].r
	if unicode.IsMark(r) {
		return false
	}
	if unicode.IsDigit(last) != unicode.IsDigit(r) {
		return true
	}
	if l, s := scriptOf(last), scriptOf(r); l != s && (separate(l) || separate(s)) {
		return true
	}
	if !unicode.IsUpper(r) {
		return false
	}
	if unicode.IsLower(last) {
		return true
	}
	// The last capital of HTTPServer begins Server; that of URLs begins nothing.
	return i+2 < len(b.chars) && unicode.IsLower(b.chars[i+1].r) && unicode.IsLower(b.chars[i+2].r)
}

// separate reports whether a script's words end where another begins.
func separate(s script) bool { return s == unspaced || s == hangul }

func (b *termBuilder) oneScript() bool {
	for _, p := range b.parts {
		if separate(p.script) {
			return false
		}
	}
	return true
}

// signed reports whether the token has a sign that makes it another word.
func (b *termBuilder) signed() bool {
	return b.chars[0].r == '.' || b.chars[len(b.chars)-1].r == '+' || b.chars[len(b.chars)-1].r == '#'
}

// number reports whether the token has digits and no letters.
func (b *termBuilder) number() bool {
	for _, p := range b.parts {
		if !unicode.IsDigit(b.chars[p.start].r) {
			return false
		}
	}
	return true
}

// identifier adds the whole of an identifier that is itself part of the token and
// whose last part is part i, like WithTimeout of context.WithTimeout.
func (b *termBuilder) identifier(i int) {
	end := b.parts[i].end
	if i+1 < len(b.parts) && b.parts[i+1].start == end {
		return // it goes on
	}
	first := i
	for first > 0 && b.parts[first-1].end == b.parts[first].start {
		first--
	}
	if start := b.parts[first].start; first < i && end-start < len(b.chars) && b.oneScript() {
		b.whole(start, end)
	}
}

// whole adds the characters from start to end written as one word: without signs,
// but for those that distinguish it and the full stops of numbers.
func (b *termBuilder) whole(start, end int) {
	from := b.begin()
	for i := start; i < end; i++ {
		c := b.chars[i]
		switch {
		case isWordRune(c.r), c.r == '&', c.r == '+', c.r == '#':
		case c.r == '.' && (i == 0 || i+1 < len(b.chars) && unicode.IsDigit(b.chars[i-1].r) && unicode.IsDigit(b.chars[i+1].r)):
		default:
			continue
		}
		b.lower(i, i+1)
	}
	b.stem(from)
	b.end(start, end)
}

// symbols adds a token without words, such as emoji.
func (b *termBuilder) symbols() {
	if len(b.chars) == 0 {
		return
	}
	b.lower(0, len(b.chars))
	b.end(0, len(b.chars))
}

// word adds the terms of one part.
func (b *termBuilder) word(p part) {
	switch p.script {
	case unspaced, hangul:
		b.pairs(p)
		return
	}
	from := b.begin()
	b.lower(p.start, p.end)
	switch p.script {
	case arabic:
		b.bytes = append(b.bytes[:from], stemArabic(b.bytes[from:])...)
	case hebrewScript:
		b.end(p.start, p.end)
		if p.end-p.start < 4 || !bytes.ContainsRune([]byte(hebrewPrefixes), b.chars[p.start].r) {
			return
		}
		p.start++
		b.lower(p.start, p.end)
	default:
		if isStopWord(b.bytes[from:]) {
			b.bytes = b.bytes[:from]
			return
		}
		b.stem(from)
	}
	b.end(p.start, p.end)
}

// stem stems the term that begins at from, if it has English letters only.
func (b *termBuilder) stem(from int) {
	for _, c := range b.bytes[from:] {
		if c < 'a' || c > 'z' {
			return
		}
	}
	b.bytes = b.bytes[:from+len(b.stemmer.stem(b.bytes[from:]))]
}

// pairs adds the characters of a part two by two, and those that may be words by
// themselves.
func (b *termBuilder) pairs(p part) {
	n := 0 // characters before
	for start := p.start; start < p.end; n++ {
		end := b.marksEnd(start+1, p.end)
		next := b.marksEnd(min(end+1, p.end), p.end)
		alone := n == 0 && end == p.end
		switch p.script {
		case hangul:
			alone = alone || n == 0 && next == p.end && bytes.ContainsRune([]byte(particles), b.chars[end].r)
		default:
			// The last of a run comes as a token of its own.
			alone = alone || end < p.end && (classOf(b.chars[start].r) == han || isComplex(classOf(b.chars[start].r)) && end-start > 1)
		}
		if alone {
			b.lower(start, end)
			b.end(start, end)
		}
		if end < p.end {
			b.lower(start, next)
			b.end(start, next)
		}
		start = end
	}
}

// marksEnd returns the end of the marks from i on.
func (b *termBuilder) marksEnd(i, end int) int {
	for i < end && (unicode.IsMark(b.chars[i].r) || isComplex(classOf(b.chars[i].r)) && classOf(b.chars[i].r).extends()) {
		i++
	}
	return i
}

// stemArabic takes common prefixes and suffixes off, at least two letters staying,
// as light stemming does.
func stemArabic(word []byte) []byte {
	const letter = 2 // bytes of an Arabic letter
	for _, prefix := range arabicPrefixes {
		least := 2
		if len(prefix) == letter {
			least = 3
		}
		if rest, ok := bytes.CutPrefix(word, []byte(prefix)); ok && len(rest) >= least*letter {
			word = rest
			break
		}
	}
	for _, suffix := range arabicSuffixes {
		if rest, ok := bytes.CutSuffix(word, []byte(suffix)); ok && len(rest) >= 2*letter {
			word = rest
		}
	}
	return word
}
