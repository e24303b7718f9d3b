package corpus

import (
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// outline knows where stretches of a document stand: under which headings, on
// which page and line. Lines are counted on as passages are asked for in order.
type outline struct {
	text      string
	title     string
	stretches []stretch

	counted, lines int // lines of the text before counted
}

// stretch is a part of the document up to the next.
type stretch struct {
	offset  int
	heading string // the breadcrumb of its headings, without the document's title
	page    int
	line    int // of the file, where the stretch begins; 0: not known
	room    int // tokens for a passage behind its breadcrumb; 0: not counted yet
}

// maxHeading is how many bytes of a heading a breadcrumb takes.
const maxHeading = 80

// newOutline reads the document's places, and its lines of '#' where these do not
// tell the headings.
func newOutline(doc Document) *outline {
	o := &outline{text: doc.Text, title: doc.Title}
	places := []Place{{}}
	for _, p := range doc.Places { // whoever made them
		switch last := &places[len(places)-1]; {
		case p.Offset > len(doc.Text):
		case p.Offset > last.Offset:
			places = append(places, p)
		default:
			p.Offset = last.Offset
			*last = p
		}
	}
	marked := o.markedHeadings()
	headings := "" // of the last line of '#'
	for i, p := range places {
		end := len(doc.Text)
		if i+1 < len(places) {
			end = places[i+1].Offset
		}
		s := stretch{offset: p.Offset, heading: headings, page: p.Page, line: p.Line}
		if p.Headings != nil {
			s.heading = o.breadcrumb(p.Headings)
		}
		o.stretches = append(o.stretches, s)
		for ; len(marked) > 0 && marked[0].offset < end; marked = marked[1:] {
			if p.Headings != nil {
				continue
			}
			headings = marked[0].heading
			s.heading = headings
			if marked[0].offset == s.offset {
				o.stretches[len(o.stretches)-1].heading = headings
				continue
			}
			if s.line > 0 {
				s.line += strings.Count(doc.Text[s.offset:marked[0].offset], "\n")
			}
			s.offset = marked[0].offset
			o.stretches = append(o.stretches, s)
		}
	}
	return o
}

// markedHeadings returns what each line of '#' outside fences of code puts the text
// from it on under.
func (o *outline) markedHeadings() []stretch {
	var out []stretch
	var path [7]string // by level
	fence := ""
	for at := 0; at < len(o.text); {
		line := o.text[at:]
		next := len(o.text)
		if n := strings.IndexByte(line, '\n'); n >= 0 {
			line, next = line[:n], at+n+1
		}
		fence = fenceAfter(fence, line)
		if level, text := heading(line); fence == "" && level > 0 {
			path[level] = text
			clear(path[level+1:])
			out = append(out, stretch{offset: at, heading: o.breadcrumb(path[1:])})
		}
		at = next
	}
	return out
}

// heading returns the level, 1 to 6, and the text of a line of '#'; 0 if it is none.
func heading(line string) (level int, text string) {
	line = strings.TrimLeft(line, " \t")
	text = strings.TrimLeft(line, "#")
	if level = len(line) - len(text); level == 0 || level > 6 || text != "" && text[0] != ' ' && text[0] != '\t' {
		return 0, ""
	}
	return level, strings.TrimSpace(strings.TrimRight(strings.TrimSpace(text), "#"))
}

// breadcrumb joins headings, each in a line and cut to a sensible length, without a
// first one that is the document's title.
func (o *outline) breadcrumb(headings []string) string {
	if len(headings) > 0 && headings[0] == o.title {
		headings = headings[1:]
	}
	short := make([]string, len(headings))
	for i, h := range headings {
		h = strings.Join(strings.Fields(h), " ")
		if len(h) > maxHeading {
			cut := maxHeading
			for cut > 0 && !utf8.RuneStart(h[cut]) {
				cut--
			}
			h = h[:cut] + "…"
		}
		short[i] = h
	}
	return retrieve.Breadcrumb(short...)
}

// at returns the stretch that a passage at an offset belongs to: that of its first
// line which is not a heading itself.
func (o *outline) at(offset int) *stretch {
	i := o.index(offset)
	for i+1 < len(o.stretches) && onlyHeadings(o.text[offset:o.stretches[i+1].offset]) {
		i++
		offset = o.stretches[i].offset
	}
	return &o.stretches[i]
}

// begins reports whether a stretch with a heading of its own begins at an offset.
func (o *outline) begins(offset int) bool {
	i := o.index(offset)
	return i > 0 && o.stretches[i].offset == offset && o.stretches[i].heading != o.stretches[i-1].heading
}

// onlyHeadings reports whether a text is headings and blanks.
func onlyHeadings(text string) bool {
	for line := range strings.Lines(text) {
		if level, _ := heading(line); level == 0 && strings.TrimSpace(line) != "" {
			return false
		}
	}
	return true
}

// index returns the number of the stretch that an offset lies in.
func (o *outline) index(offset int) int {
	return max(0, sort.Search(len(o.stretches), func(i int) bool { return o.stretches[i].offset > offset })-1)
}

// place says where a passage stands. Passages come in order.
func (o *outline) place(p *retrieve.Passage) {
	offset := int(p.Offset)
	p.Heading = o.at(offset).heading
	s := &o.stretches[o.index(offset)]
	p.Page = s.page
	if s.line == 0 {
		return
	}
	if o.counted < s.offset || o.counted > offset {
		o.counted, o.lines = s.offset, 0
	}
	o.lines += strings.Count(o.text[o.counted:offset], "\n")
	o.counted = offset
	p.Line = s.line + o.lines
}
