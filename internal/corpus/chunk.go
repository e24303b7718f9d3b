package corpus

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Encoder turns text into the model's tokens; chunking only counts them.
type Encoder interface {
	Encode(text string) []int32
}

// Unit is what the size of a passage is measured in.
type Unit string

// The units of a Chunking.
const (
	Whole  Unit = "none"   // a document is one passage
	Words  Unit = "words"  // runs of Size words, cut anywhere: the paper's passages
	Tokens Unit = "tokens" // up to Size model tokens, along sentences and headings
)

// Chunking says how documents are cut.
type Chunking struct {
	Unit    Unit
	Size    int // words or tokens a passage
	Overlap int // how many of them, at most, are repeated at the next passage's start
	// Breadcrumb says that the model reads title and headings before each passage, so
	// that Tokens leaves room for them; else it reads the title before the first.
	Breadcrumb bool
}

// ParseChunking reads "none", "words:100" or "tokens:128".
func ParseChunking(s string, overlap int) (Chunking, error) {
	if s == string(Whole) {
		return Chunking{Unit: Whole}, nil
	}
	unit, size, _ := strings.Cut(s, ":")
	n, err := strconv.Atoi(size)
	if unit != string(Words) && unit != string(Tokens) || err != nil || n < 1 {
		return Chunking{}, fmt.Errorf("chunking %q is not one of none, words:100 or tokens:128", s)
	}
	if overlap < 0 || overlap >= n {
		return Chunking{}, fmt.Errorf("an overlap of %d does not fit passages of %d %s", overlap, n, unit)
	}
	return Chunking{Unit: Unit(unit), Size: n, Overlap: overlap}, nil
}

// String returns what ParseChunking reads.
func (c Chunking) String() string {
	if c.Unit == Whole {
		return string(Whole)
	}
	return fmt.Sprintf("%s:%d", c.Unit, c.Size)
}

// Chunker cuts documents into passages.
type Chunker struct {
	Chunking
	enc Encoder
}

// NewChunker returns a chunker; enc is needed for Tokens only.
func NewChunker(c Chunking, enc Encoder) (*Chunker, error) {
	if c.Unit == Tokens && enc == nil {
		return nil, fmt.Errorf("cutting by tokens needs a model's tokenizer")
	}
	return &Chunker{Chunking: c, enc: enc}, nil
}

// Split yields the document's passages in order. A passage's id is the
// document's, followed by '#' and the byte offset of its text unless the
// document is kept whole. A document without text yields none.
func (c *Chunker) Split(doc Document) iter.Seq[retrieve.Passage] {
	return func(yield func(retrieve.Passage) bool) {
		first := true
		outline := newOutline(doc)
		emit := func(start, end int) bool {
			start, end = trim(doc.Text, start, end)
			if start == end {
				return true
			}
			p := retrieve.Passage{
				ID: doc.ID, Title: doc.Title, Text: doc.Text[start:end],
				Source: doc.Source, Offset: int64(start), First: first,
			}
			if c.Unit != Whole {
				p.ID = doc.ID + "#" + strconv.Itoa(start)
			}
			first = false
			outline.place(&p)
			return yield(p)
		}
		switch c.Unit {
		case Words:
			c.splitWords(doc.Text, emit)
		case Tokens:
			c.splitTokens(doc, outline, emit)
		default:
			emit(0, len(doc.Text))
		}
	}
}

// splitWords cuts every Size words; a word is what stands between blanks.
func (c *Chunker) splitWords(text string, emit func(start, end int) bool) {
	type word struct{ start, end int }
	var run []word
	fresh := false // run holds a word that no passage has shown
	for start, end := range words(text) {
		run = append(run, word{start, end})
		fresh = true
		if len(run) == c.Size {
			if !emit(run[0].start, end) {
				return
			}
			run = append(run[:0], run[len(run)-c.Overlap:]...)
			fresh = false
		}
	}
	if fresh {
		emit(run[0].start, run[len(run)-1].end)
	}
}

// words yields the byte range of every run of non-blanks.
func words(text string) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		for end := 0; ; {
			start := skipBlanks(text, end)
			if start == len(text) {
				return
			}
			if end = skipWord(text, start); !yield(start, end) {
				return
			}
		}
	}
}

// asciiBlank tells which ASCII characters unicode.IsSpace calls blank.
var asciiBlank = [utf8.RuneSelf]bool{'\t': true, '\n': true, '\v': true, '\f': true, '\r': true, ' ': true}

// skipBlanks returns where the first non-blank at or after i stands.
func skipBlanks(text string, i int) int {
	for i < len(text) {
		size := 1
		if b := text[i]; b < utf8.RuneSelf {
			if !asciiBlank[b] {
				break
			}
		} else {
			var r rune
			if r, size = utf8.DecodeRuneInString(text[i:]); !unicode.IsSpace(r) {
				break
			}
		}
		i += size
	}
	return i
}

// skipWord returns where the first blank at or after i stands.
func skipWord(text string, i int) int {
	for i < len(text) {
		if i+8 <= len(text) {
			n := plainPrefix(text[i : i+8])
			if i += n; n == 8 {
				continue
			}
		}
		size := 1
		if b := text[i]; b < utf8.RuneSelf {
			if asciiBlank[b] {
				break
			}
		} else {
			var r rune
			if r, size = utf8.DecodeRuneInString(text[i:]); unicode.IsSpace(r) {
				break
			}
		}
		i += size
	}
	return i
}

// plainPrefix returns how many of eight bytes come before the first that is no
// visible ASCII character. All are looked at together: taking 0x21 from a byte
// sets its highest bit if it was less, and only then can it borrow from the next.
func plainPrefix(s string) int {
	const each = 0x0101010101010101
	var b [8]byte
	copy(b[:], s)
	x := binary.LittleEndian.Uint64(b[:])
	return bits.TrailingZeros64((x-0x21*each|x)&(0x80*each)) / 8
}

// piece is a stretch of text that a passage takes whole: a sentence, a heading,
// or a part of a sentence that is longer than a passage.
type piece struct {
	start, end int
	tokens     int
	heading    bool
}

// splitTokens fills passages with whole pieces. A heading opens a new passage
// once the present one is half full, and never ends one; the pieces that fit in
// Overlap are repeated. Passages leave room for what the model reads before them,
// up to half.
func (c *Chunker) splitTokens(doc Document, o *outline, emit func(start, end int) bool) {
	limit, first := c.room(doc.Title), true
	if c.Breadcrumb {
		limit = c.leastRoom(o)
	}
	var run []piece
	total, fresh := 0, 0 // tokens in run; pieces of it that no passage has shown
	flush := func() bool {
		keep := len(run)
		for keep > 1 && fresh > 1 && run[keep-1].heading {
			keep-- // a heading belongs to what follows it
			fresh--
		}
		if !emit(run[0].start, run[keep-1].end) {
			return false
		}
		next := keep
		for sum := 0; next > 1 && sum+run[next-1].tokens <= c.Overlap && !run[next-1].heading; next-- {
			sum += run[next-1].tokens
		}
		fresh = len(run) - keep
		run = append(run[:0], run[next:]...)
		total = 0
		for _, p := range run {
			total += p.tokens
		}
		first = false
		return true
	}
	room := func(p piece) int { // of the passage that p is for
		switch {
		case !c.Breadcrumb && first:
			return limit
		case !c.Breadcrumb:
			return c.Size
		case len(run) > 0:
			return c.roomAt(o, run[0].start)
		}
		return c.roomAt(o, p.start)
	}
	opens := func(p piece) bool { // a heading, seen or not, stands before p
		return p.heading || c.Breadcrumb && o.begins(skipBlanks(doc.Text, p.start))
	}
	for p := range c.pieces(doc.Text, limit) {
		if fresh > 0 && (total+p.tokens > room(p) || opens(p) && total > room(p)/2) {
			if !flush() {
				return
			}
		}
		for len(run) > 0 && total+p.tokens > room(p) {
			if fresh == len(run) { // a heading that no longer fits before its sentence
				if !flush() {
					return
				}
				continue
			}
			total -= run[0].tokens // less overlap rather than too long a passage
			run = run[1:]
		}
		run = append(run, p)
		total += p.tokens
		fresh++
	}
	if fresh > 0 {
		emit(run[0].start, run[len(run)-1].end)
	}
}

// room returns the tokens that are left for a passage behind head.
func (c *Chunker) room(head string) int {
	if head == "" {
		return c.Size
	}
	return max(c.Size/2, c.Size-len(c.enc.Encode(head+"\n")))
}

// roomAt returns the room for a passage that begins with the piece at an offset.
func (c *Chunker) roomAt(o *outline, offset int) int {
	return c.stretchRoom(o, o.at(skipBlanks(o.text, offset)))
}

func (c *Chunker) stretchRoom(o *outline, s *stretch) int {
	if s.room == 0 {
		s.room = c.room(retrieve.Breadcrumb(o.title, s.heading))
	}
	return s.room
}

// leastRoom returns the room that a passage has anywhere in the document.
func (c *Chunker) leastRoom(o *outline) int {
	least := c.Size
	for i := range o.stretches {
		least = min(least, c.stretchRoom(o, &o.stretches[i]))
	}
	return least
}

// pieces yields sentences and headings, none of more than limit tokens.
func (c *Chunker) pieces(text string, limit int) iter.Seq[piece] {
	return func(yield func(piece) bool) {
		for s := range sentences(text) {
			s.tokens = len(c.enc.Encode(text[s.start:s.end]))
			if s.tokens <= limit {
				if !yield(s) {
					return
				}
				continue
			}
			part := piece{start: s.start, end: s.start}
			for _, w := range c.fragments(text, s.start, s.end, limit) {
				if part.end > part.start && part.tokens+w.tokens > limit {
					if !yield(part) {
						return
					}
					part = piece{start: w.start}
				}
				part.end = w.end
				part.tokens += w.tokens
			}
			if !yield(part) {
				return
			}
		}
	}
}

// fragments cuts text[start:end] before the blanks between words, and a word of
// more than limit tokens into pieces of at most limit bytes: a byte-level token
// is at least one byte.
func (c *Chunker) fragments(text string, start, end, limit int) []piece {
	var out []piece
	from := start
	for _, stop := range words(text[start:end]) {
		p := piece{start: from, end: start + stop}
		p.tokens = len(c.enc.Encode(text[p.start:p.end]))
		from = p.end
		if p.tokens <= limit {
			out = append(out, p)
			continue
		}
		for at := p.start; at < p.end; {
			cut := min(at+limit, p.end)
			for cut < p.end && cut > at && !utf8.RuneStart(text[cut]) {
				cut--
			}
			if cut == at { // a character of more bytes than limit
				_, size := utf8.DecodeRuneInString(text[at:])
				cut += size
			}
			out = append(out, piece{start: at, end: cut, tokens: len(c.enc.Encode(text[at:cut]))})
			at = cut
		}
	}
	if len(out) > 0 {
		out[len(out)-1].end = end
	}
	return out
}

// Sentences yields where each sentence or heading of a text begins and ends, in bytes.
// Together they are all of it: the blanks between two belong to the second.
func Sentences(text string) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		for s := range sentences(text) {
			if !yield(s.start, s.end) {
				return
			}
		}
	}
}

// sentences yields the text's sentences and headings, together all of it; the
// blanks between two belong to the second, as tokenizers join them.
func sentences(text string) iter.Seq[piece] {
	return func(yield func(piece) bool) {
		start := 0
		for start < len(text) {
			end, heading := sentenceEnd(text, start)
			if !yield(piece{start: start, end: end, heading: heading}) {
				return
			}
			start = end
		}
	}
}

// sentenceEnd returns where the sentence or heading that begins at start ends.
func sentenceEnd(text string, start int) (end int, heading bool) {
	body := start
	for body < len(text) && isBlank(text[body]) {
		body++
	}
	if body < len(text) && text[body] == '#' {
		if level := strings.TrimLeft(text[body:], "#"); strings.HasPrefix(level, " ") {
			if n := strings.IndexByte(text[body:], '\n'); n >= 0 {
				return body + n, true
			}
			return len(text), true
		}
	}
	for i := body; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		i += size
		switch r {
		case '\n':
			rest := strings.TrimLeft(text[i:], " \t\r")
			if rest == "" || rest[0] == '\n' || rest[0] == '#' {
				return i - size, false // a blank line or a heading ends the sentence
			}
		case '。', '！', '？':
			return i, false
		case '.', '!', '?':
			j := i
			for j < len(text) && strings.IndexByte(`"')]`, text[j]) >= 0 {
				j++
			}
			if j < len(text) && isBlank(text[j]) && opensSentence(text[j:]) {
				return j, false
			}
		}
	}
	return len(text), false
}

// opensSentence reports whether the text after blanks looks like a new
// sentence: abbreviations such as "e.g. this" go on in lower case.
func opensSentence(text string) bool {
	text = strings.TrimLeft(text, " \t\r\n")
	r, _ := utf8.DecodeRuneInString(text)
	return text == "" || !unicode.IsLower(r)
}

func isBlank(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }

// trim narrows a byte range to what stands between its outer blanks.
func trim(text string, start, end int) (int, int) {
	left := strings.TrimLeftFunc(text[start:end], unicode.IsSpace)
	start = end - len(left)
	return start, start + len(strings.TrimRightFunc(left, unicode.IsSpace))
}
