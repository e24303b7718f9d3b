package office

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"

	"github.com/flashback-lm/flashback/internal/corpus/charset"
)

// RTF reads a document in Rich Text Format: paragraphs, headings by their outline
// level, a table's row on a line, footnotes where they are referred to, deleted and
// hidden text left out.
func RTF(data []byte) (Text, error) {
	data = bytes.TrimLeft(data, "\xef\xbb\xbf \t\r\n")
	if !bytes.HasPrefix(data, []byte(`{\rtf`)) {
		return Text{}, errors.New(`not an .rtf file: it does not begin with {\rtf`)
	}
	r := rtf{data: data, page: charmap.Windows1252, fonts: map[int]encoding.Encoding{}, levels: map[int]int{}}
	r.state.skip = 1
	err := r.read()
	r.endParagraph()
	return r.w.text(r.title.String()), err
}

// rtf is where a reader of a file stands.
type rtf struct {
	data  []byte
	at    int
	w     writer
	line  strings.Builder
	title strings.Builder
	raw   []byte   // characters of the file's encoding that are not decoded yet
	units []uint16 // surrogates that wait for their other half
	cells []string
	inRow bool

	page   encoding.Encoding
	fonts  map[int]encoding.Encoding
	levels map[int]int // of headings by their style
	style  struct {    // that the style sheet is at
		number, level int
		name          strings.Builder
	}

	state  rtfState
	states []rtfState
	lost   int // characters to leave out, those that stand in for one of Unicode
}

// rtfState is what ends with a group.
type rtfState struct {
	out     rtfTarget
	font    int
	level   int  // of a heading; 0: none
	skip    int  // characters that stand in for one of Unicode
	hidden  bool // or deleted
	fontDef int  // the font that the font table is at
}

// rtfTarget is where text goes.
type rtfTarget int

const (
	toBody rtfTarget = iota
	toTitle
	toStyle
	toNothing
)

func (r *rtf) read() error {
	for r.at < len(r.data) {
		c := r.data[r.at]
		r.at++
		switch c {
		case '{':
			if len(r.states) >= maxDepth {
				return fmt.Errorf("groups nest more than %d deep", maxDepth)
			}
			r.flush()
			r.states = append(r.states, r.state)
			r.lost = 0
			if r.state.out == toStyle {
				r.style.number, r.style.level = 0, 0
				r.style.name.Reset()
			}
		case '}':
			r.flush()
			if len(r.states) == 0 {
				return nil // more than the document
			}
			was := r.state.out
			r.state = r.states[len(r.states)-1]
			if was == toStyle && r.state.out == toStyle {
				r.endStyle()
			}
			r.states = r.states[:len(r.states)-1]
			r.lost = 0
			if len(r.states) == 0 {
				return nil
			}
		case '\\':
			r.control()
		case '\r', '\n', 0:
		default:
			r.char(c)
		}
		if r.w.b.Len()+r.line.Len() > MaxSize {
			return errTooLong
		}
	}
	r.flush()
	return errors.New("the file is cut off")
}

// char takes one character of the file's encoding.
func (r *rtf) char(c byte) {
	if r.lost > 0 {
		r.lost--
		return
	}
	r.raw = append(r.raw, c)
}

// flush decodes and writes the characters that wait.
func (r *rtf) flush() {
	if len(r.units) > 0 {
		units := r.units
		r.units = nil
		r.emit(string(utf16.Decode(units)))
	}
	if len(r.raw) == 0 {
		return
	}
	raw := r.raw
	r.raw = r.raw[:0]
	enc := r.page
	if e := r.fonts[r.state.font]; e != nil {
		enc = e
	}
	if out, err := enc.NewDecoder().Bytes(raw); err == nil {
		r.emit(string(out))
	}
}

func (r *rtf) emit(s string) {
	switch {
	case r.state.out == toTitle:
		r.title.WriteString(s)
	case r.state.out == toStyle:
		r.style.name.WriteString(s)
	case r.state.out == toBody && !r.state.hidden:
		r.line.WriteString(s)
	}
}

// endStyle keeps the level of the style that the style sheet is at.
func (r *rtf) endStyle() {
	level := r.style.level
	if level == 0 {
		name := strings.Trim(r.style.name.String(), "; ")
		level = namedLevel(strings.ToLower(name)) + 1
	}
	if level > 0 {
		r.levels[r.style.number] = level
	}
}

// control reads what follows a backslash.
func (r *rtf) control() {
	if r.at >= len(r.data) {
		return
	}
	c := r.data[r.at]
	if c|0x20 < 'a' || c|0x20 > 'z' {
		r.at++
		r.symbol(c)
		return
	}
	start := r.at
	for r.at < len(r.data) && r.data[r.at]|0x20 >= 'a' && r.data[r.at]|0x20 <= 'z' {
		r.at++
	}
	word := string(r.data[start:min(r.at, start+32)])
	number, given := 1, false
	start = r.at
	if r.at < len(r.data) && r.data[r.at] == '-' {
		r.at++
	}
	for r.at < len(r.data) && r.data[r.at] >= '0' && r.data[r.at] <= '9' {
		r.at++
	}
	if r.at > start {
		number, given = atoi(string(r.data[start:min(r.at, start+11)])), true
	}
	if r.at < len(r.data) && r.data[r.at] == ' ' {
		r.at++
	}
	r.word(word, number, given)
}

// symbol takes a control of one character.
func (r *rtf) symbol(c byte) {
	switch c {
	case '\'':
		if r.at+2 <= len(r.data) {
			r.char(unhex(r.data[r.at])<<4 | unhex(r.data[r.at+1]))
			r.at += 2
		}
	case '\\', '{', '}':
		r.char(c)
	case '~':
		r.put(" ")
	case '_':
		r.put("-")
	case '\r', '\n':
		r.word("par", 1, false)
	case '*':
		r.flush()
		r.state.out = toNothing // of what the next word names, unless that is known
	}
}

func unhex(c byte) byte {
	if c >= '0' && c <= '9' {
		return c - '0'
	}
	return (c | 0x20 - 'a' + 10) & 15
}

// put writes a character that a control stands for.
func (r *rtf) put(s string) {
	if r.lost > 0 {
		r.lost--
		return
	}
	r.flush()
	r.emit(s)
}

var rtfCharacters = map[string]string{
	"emdash": "—", "endash": "–", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "bullet": "•",
	"emspace": " ", "enspace": " ", "qmspace": " ", "tab": "\t", "line": "\n", "lbr": "\n",
}

// rtfSilent are the groups whose text is not the document's.
var rtfSilent = map[string]bool{
	"colortbl": true, "pict": true, "header": true, "headerl": true, "headerr": true, "headerf": true,
	"footer": true, "footerl": true, "footerr": true, "footerf": true, "object": true, "objdata": true, "fldinst": true,
	"filetbl": true, "listtable": true, "listoverridetable": true, "revtbl": true, "info": true, "themedata": true, "bkmkstart": true,
	"bkmkend": true, "annotation": true, "atnid": true, "atnauthor": true, "template": true, "xe": true, "tc": true,
	"ftnsep": true, "ftnsepc": true, "aftnsep": true, "aftnsepc": true, "nonshppict": true, "private": true, "generator": true,
}

func (r *rtf) word(word string, number int, given bool) {
	if s, ok := rtfCharacters[word]; ok {
		r.put(s)
		return
	}
	if rtfSilent[word] {
		r.flush()
		r.state.out = toNothing
		return
	}
	switch word {
	case "u":
		if r.lost > 0 {
			r.lost--
			return
		}
		unit := uint16(number)
		if len(r.raw) > 0 {
			r.flush()
		}
		r.units = append(r.units, unit)
		if !utf16.IsSurrogate(rune(unit)) || len(r.units) > 1 {
			r.flush()
		}
		r.lost = r.state.skip
	case "uc":
		r.state.skip = min(max(number, 0), 16)
	case "bin":
		r.at = min(len(r.data), r.at+max(number, 0))
	case "ansicpg":
		if e := codePage(number); e != nil {
			r.page = e
		}
	case "mac":
		r.page = charmap.Macintosh
	case "pc":
		r.page = charmap.CodePage437
	case "pca":
		r.page = charmap.CodePage850
	case "stylesheet":
		r.flush()
		r.state.out = toStyle
	case "s":
		if r.state.out == toStyle {
			r.style.number = number
		} else {
			r.state.level = r.levels[number]
		}
	case "fonttbl":
		r.flush()
		r.state.out = toNothing
		r.state.fontDef = -1
	case "f":
		r.flush()
		r.state.font = number
		r.state.fontDef = number
	case "fcharset":
		if e := codePage(fontCharsets[number]); e != nil && r.state.out == toNothing {
			r.fonts[r.state.fontDef] = e
		}
	case "title":
		if r.state.out == toNothing {
			r.state.out = toTitle
		}
	case "plain":
		r.flush()
		r.state.hidden, r.state.font = false, 0
	case "v", "deleted":
		r.flush()
		r.state.hidden = !given || number != 0
	case "pard":
		r.flush()
		r.state.level, r.inRow = 0, false
	case "intbl":
		r.inRow = true
	case "outlinelevel":
		level := number + 1
		if number < 0 || number >= 9 {
			level = 0 // of running text
		}
		if r.state.out == toStyle {
			r.style.level = level
		} else {
			r.state.level = level
		}
	case "footnote":
		r.flush()
		r.emit(" [footnote] ")
	case "shptxt", "shprslt":
		r.flush()
		if word == "shprslt" {
			r.state.out = toNothing // the same once more, for older programs
		} else if r.state.out == toNothing {
			r.state.out = toBody
		}
	case "shppict":
	case "par", "sect", "page", "column":
		r.flush()
		if r.state.out != toBody {
			return
		}
		if r.inRow {
			r.line.WriteByte(' ')
			return
		}
		r.endParagraph()
	case "cell", "nestcell":
		r.flush()
		if r.state.out == toBody {
			r.cells = append(r.cells, r.line.String())
			r.line.Reset()
		}
	case "row", "nestrow":
		r.flush()
		if r.state.out == toBody {
			r.w.line(joinCells(r.cells))
			r.cells = nil
		}
	}
}

// endParagraph writes the paragraph that was read, and a row that was not ended.
func (r *rtf) endParagraph() {
	if len(r.cells) > 0 {
		r.w.line(joinCells(r.cells))
		r.cells = nil
	}
	text := strings.TrimSpace(strings.Map(bullets, r.line.String()))
	if r.state.level > 0 {
		r.w.heading(r.state.level, text)
	} else {
		r.w.paragraph(text)
	}
	r.line.Reset()
}

// bullets makes a dash of the marks of lists, which are of a font of symbols.
func bullets(r rune) rune {
	if r >= 0xf000 && r <= 0xf0ff {
		return '-'
	}
	return r
}

// fontCharsets are the code pages of the character sets that fonts have.
var fontCharsets = map[int]int{
	77: 10000, 128: 932, 129: 949, 134: 936, 136: 950, 161: 1253, 162: 1254, 163: 1258, 177: 1255, 178: 1256, 186: 1257, 204: 1251, 222: 874, 238: 1250,
}

// codePage returns the encoding of that number, nil if it is not known.
func codePage(n int) encoding.Encoding {
	name := map[int]string{932: "shift_jis", 936: "gb18030", 949: "euc-kr", 950: "big5", 10000: "macintosh", 65001: "utf-8", 874: "windows-874"}[n]
	if name == "" {
		name = fmt.Sprintf("windows-%d", n)
	}
	e, err := charset.Lookup(name)
	if err != nil {
		if e, err = charset.Lookup(fmt.Sprintf("IBM%d", n)); err != nil {
			return nil
		}
	}
	return e
}
