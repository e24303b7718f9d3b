package office

import (
	"encoding/xml"
	"slices"
	"strconv"
	"strings"
)

// style is what a paragraph style of Word says.
type style struct {
	name    string // built-in names are English in any language: "heading 1"
	basedOn string
	outline int // -1: none
	numID   string
}

func (d *docx) readStyles(data []byte) error {
	d.styles = map[string]style{}
	return parse(data, func(x *reader, _ xml.StartElement) error {
		return x.each(nil, func(e xml.StartElement) error {
			if e.Name.Local != "style" {
				return x.skip()
			}
			s, id := style{outline: -1}, attr(e, "styleId")
			var read func(e xml.StartElement) error
			read = func(e xml.StartElement) error {
				switch e.Name.Local {
				case "name":
					s.name = strings.ToLower(attr(e, "val"))
				case "basedOn":
					s.basedOn = attr(e, "val")
				case "outlineLvl":
					s.outline = outline(e)
				case "numId":
					s.numID = attr(e, "val")
				case "pPr", "numPr":
					return x.each(nil, read)
				}
				return x.skip()
			}
			err := x.each(nil, read)
			d.styles[id] = s
			return err
		})
	})
}

// outline reads a level from 0; 9 is that of running text, -1 here.
func outline(e xml.StartElement) int {
	if n, err := strconv.Atoi(attr(e, "val")); err == nil && n >= 0 && n < 9 {
		return n
	}
	return -1
}

// maxBases bounds a chain of styles, which may be a circle in a bad file.
const maxBases = 20

// style resolves a style by what it is based on.
func (d *docx) style(id string) style {
	found := style{outline: -1}
	for range maxBases {
		s, ok := d.styles[id]
		if !ok {
			break
		}
		if found.outline < 0 {
			if found.outline = s.outline; found.outline < 0 {
				found.outline = namedLevel(s.name)
			}
		}
		if found.numID == "" {
			found.numID = s.numID
		}
		if id = s.basedOn; id == "" {
			break
		}
	}
	return found
}

// heading returns the level of a paragraph that is one from 1, else 0.
func (d *docx) heading(p *paragraph) int {
	if p.outline >= 0 {
		return p.outline + 1
	}
	if s, ok := d.styles[p.style]; ok && s.name != "" {
		return d.style(p.style).outline + 1
	}
	return namedLevel(strings.ToLower(p.style)) + 1 // the styles are missing
}

// Names of the styles of headings and titles. Word writes the English ones in any
// language; other programs write those that they show.
var (
	headingNames = []string{"heading", "überschrift", "titre", "título", "titolo", "kop", "rubrik", "overskrift", "otsikko", "nadpis", "nagłówek", "címsor", "заголовок", "标题", "標題", "見出し", "제목"}
	titleNames   = []string{"title", "titel", "titre", "título", "titolo", "tittel", "rubrik", "otsikko", "název", "tytuł", "cím", "название", "标题", "標題", "表題", "제목"}
)

// namedLevel returns the level from 0 that a style's name tells: "heading 2" or
// "Heading2", or "title"; else -1.
func namedLevel(name string) int {
	name = strings.ReplaceAll(name, " ", "")
	if slices.Contains(titleNames, name) {
		return 0
	}
	if name == "" {
		return -1
	}
	level := name[len(name)-1]
	if level >= '1' && level <= '9' && slices.Contains(headingNames, name[:len(name)-1]) {
		return int(level - '1')
	}
	return -1
}

// list tells how Word marks the items of a list.
type list struct {
	numbered [9]bool // by level; else bullets
	counts   *[9]int
}

func (d *docx) readNumbering(data []byte) error {
	abstract := map[string]list{}
	d.lists = map[string]list{}
	return parse(data, func(x *reader, _ xml.StartElement) error {
		return x.each(nil, func(e xml.StartElement) error {
			switch e.Name.Local {
			case "abstractNum":
				var l list
				id, level := attr(e, "abstractNumId"), 0
				var read func(e xml.StartElement) error
				read = func(e xml.StartElement) error {
					switch e.Name.Local {
					case "lvl":
						level = min(max(atoi(attr(e, "ilvl")), 0), 8)
						return x.each(nil, read)
					case "numFmt":
						format := attr(e, "val")
						l.numbered[level] = format != "bullet" && format != "none"
					}
					return x.skip()
				}
				err := x.each(nil, read)
				abstract[id] = l
				return err
			case "num":
				id := attr(e, "numId")
				return x.each(nil, func(e xml.StartElement) error {
					if e.Name.Local == "abstractNumId" {
						l := abstract[attr(e, "val")]
						l.counts = new([9]int)
						d.lists[id] = l
					}
					return x.skip()
				})
			}
			return x.skip()
		})
	})
}

// mark returns what stands before an item of a list: a number or a dash; empty if
// numID, "0" for one taken out of its list, names none.
func (d *docx) mark(numID string, level int) string {
	l, ok := d.lists[numID]
	switch {
	case !ok:
		return ""
	case !l.numbered[level]:
		return "-"
	}
	l.counts[level]++
	clear(l.counts[level+1:])
	return strconv.Itoa(l.counts[level]) + "."
}
