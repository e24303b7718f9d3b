package office

import (
	"encoding/xml"
	"strconv"
	"strings"
)

// DOCX reads a Word document: paragraphs, headings by their style in any language,
// lists, a table's row on a line, text boxes, foot- and endnotes after the paragraph
// that refers to them, tracked changes as accepted. Headers, footers, comments and
// hidden text are left out.
func DOCX(data []byte) (Text, error) {
	a, err := Open(data, ".docx")
	if err != nil {
		return Text{}, err
	}
	main, title, err := a.mainPart("word/document.xml")
	if err != nil {
		return Text{}, err
	}
	body, err := a.Read(main)
	if err != nil && len(body) == 0 {
		return Text{}, err
	}
	d := docx{notes: map[string]string{}}
	relations, relErr := a.relations(main)
	err = part(err, relErr, main)
	for kind, read := range map[string]func([]byte) error{"styles": d.readStyles, "numbering": d.readNumbering} {
		if name := a.beside(main, relations, kind); name != "" {
			data, readErr := a.Read(name)
			if readErr == nil {
				readErr = read(data)
			}
			err = part(err, readErr, name)
		}
	}
	for _, kind := range []string{"footnotes", "endnotes"} { // they need the styles
		if name := a.beside(main, relations, kind); name != "" {
			data, readErr := a.Read(name)
			if readErr == nil {
				readErr = d.readNotes(data, strings.TrimSuffix(kind, "s"))
			}
			err = part(err, readErr, name)
		}
	}
	var w writer
	walkErr := parse(body, func(x *reader, _ xml.StartElement) error {
		return d.blocks(x, &w)
	})
	return w.text(title), part(err, walkErr, main)
}

// docx is what a document's other parts say of its text.
type docx struct {
	styles  map[string]style
	lists   map[string]list   // by numId
	notes   map[string]string // by "footnote 2"; each is written once
	pending []string          // notes that the present paragraph refers to
	boxes   []string          // text boxes that stand in it
	merged  string            // a paragraph whose end was deleted
}

// blocks reads paragraphs and tables to the end of an element.
func (d *docx) blocks(x *reader, w *writer) error {
	err := x.each(nil, func(e xml.StartElement) error {
		if err := w.room(); err != nil {
			return err
		}
		switch e.Name.Local {
		case "p":
			return d.paragraph(x, w)
		case "tbl":
			return d.table(x, w)
		case "del", "moveFrom", "sectPr", "sdtPr", "sdtEndPr", "tblPr":
			return x.skip()
		case "AlternateContent":
			return d.alternate(x, func() error { return d.blocks(x, w) })
		}
		return d.blocks(x, w) // body, sdt, sdtContent, ins, moveTo, customXml and the like
	})
	w.paragraph(d.merged) // of the last paragraph, if its end was deleted
	d.merged = ""
	return err
}

// alternate reads the first choice of what an element offers, or the fallback if
// it offers none.
func (d *docx) alternate(x *reader, read func() error) error {
	done := false
	return x.each(nil, func(e xml.StartElement) error {
		if done || e.Name.Local != "Choice" && e.Name.Local != "Fallback" {
			return x.skip()
		}
		done = true
		return read()
	})
}

// paragraph is the text of one with what says how it stands.
type paragraph struct {
	b       strings.Builder
	style   string
	outline int // of its own; -1: none
	numID   string
	level   int  // of its list
	deleted bool // its end; it goes on in the next
}

func (d *docx) paragraph(x *reader, w *writer) error {
	p := paragraph{outline: -1}
	outer := d.boxes
	d.boxes = nil
	p.b.WriteString(d.merged)
	d.merged = ""
	err := d.inline(x, &p)
	boxes := d.boxes
	d.boxes = outer
	if p.deleted && err == nil {
		d.merged = p.b.String()
	} else {
		d.write(&p, w)
	}
	for _, box := range boxes {
		w.paragraph(box)
	}
	for _, note := range d.pending {
		w.paragraph(note)
	}
	d.pending = nil
	return err
}

func (d *docx) write(p *paragraph, w *writer) {
	text := p.b.String()
	if strings.TrimSpace(text) == "" {
		return
	}
	if level := d.heading(p); level > 0 {
		w.heading(level, text)
		return
	}
	numID := p.numID
	if numID == "" {
		numID = d.style(p.style).numID
	}
	if mark := d.mark(numID, p.level); mark != "" {
		w.line(strings.Repeat("  ", p.level) + mark + " " + oneLine(text))
		return
	}
	w.paragraph(strings.TrimSpace(text))
}

// inline reads runs, and the properties of their paragraph, to the end of an
// element.
func (d *docx) inline(x *reader, p *paragraph) error {
	return x.each(nil, func(e xml.StartElement) error {
		switch e.Name.Local {
		case "pPr":
			return p.properties(x)
		case "r":
			return d.run(x, p)
		case "del", "moveFrom", "sdtPr", "sdtEndPr", "instrText", "delText", "rt", "rPr", "fldData":
			return x.skip()
		case "t":
			return x.each(func(s string) { p.b.WriteString(s) }, nil)
		case "AlternateContent":
			return d.alternate(x, func() error { return d.inline(x, p) })
		case "txbxContent":
			return d.box(x)
		}
		return d.inline(x, p) // hyperlink, ins, moveTo, smartTag, fldSimple, oMath, drawing, pict ...
	})
}

func (d *docx) run(x *reader, p *paragraph) error {
	hidden := false
	return x.each(nil, func(e xml.StartElement) error {
		if hidden {
			return x.skip()
		}
		switch e.Name.Local {
		case "rPr":
			return x.each(nil, func(e xml.StartElement) error {
				hidden = hidden || e.Name.Local == "vanish" && on(e)
				return x.skip()
			})
		case "t":
			return x.each(func(s string) { p.b.WriteString(s) }, nil)
		case "tab", "ptab":
			p.b.WriteByte('\t')
		case "br", "cr":
			p.b.WriteByte('\n')
		case "noBreakHyphen":
			p.b.WriteByte('-')
		case "footnoteReference", "endnoteReference":
			id := strings.TrimSuffix(e.Name.Local, "Reference") + " " + attr(e, "id")
			if note := d.notes[id]; note != "" {
				d.pending = append(d.pending, note)
				delete(d.notes, id)
			}
		case "drawing", "pict", "object", "ruby", "rubyBase":
			return d.inline(x, p)
		case "AlternateContent":
			return d.alternate(x, func() error { return d.inline(x, p) })
		}
		return x.skip()
	})
}

// box keeps a text box for after its paragraph.
func (d *docx) box(x *reader) error {
	var w writer
	pending, merged := d.pending, d.merged
	d.pending, d.merged = nil, ""
	err := d.blocks(x, &w)
	d.pending, d.merged = pending, merged
	d.boxes = append(d.boxes, w.b.String())
	return err
}

func (p *paragraph) properties(x *reader) error {
	return x.each(nil, func(e xml.StartElement) error {
		switch e.Name.Local {
		case "pStyle":
			p.style = attr(e, "val")
		case "outlineLvl":
			p.outline = outline(e)
		case "numPr":
			return x.each(nil, func(e xml.StartElement) error {
				switch e.Name.Local {
				case "ilvl":
					p.level = min(max(atoi(attr(e, "val")), 0), 8)
				case "numId":
					p.numID = attr(e, "val")
				}
				return x.skip()
			})
		case "rPr":
			return x.each(nil, func(e xml.StartElement) error {
				p.deleted = p.deleted || e.Name.Local == "del" || e.Name.Local == "moveFrom"
				return x.skip()
			})
		}
		return x.skip()
	})
}

// table writes each row on a line. A table of one column is a frame: its cells are
// read as they stand.
func (d *docx) table(x *reader, w *writer) error {
	w.apart()
	defer w.apart()
	return x.each(nil, func(e xml.StartElement) error {
		switch e.Name.Local {
		case "tr":
			return d.row(x, w)
		case "sdt", "sdtContent", "ins", "customXml":
			return d.table(x, w)
		}
		return x.skip()
	})
}

func (d *docx) row(x *reader, w *writer) error {
	var cells []*writer
	deleted := false
	var read func(e xml.StartElement) error
	read = func(e xml.StartElement) error {
		switch e.Name.Local {
		case "trPr":
			return x.each(nil, func(e xml.StartElement) error {
				deleted = deleted || e.Name.Local == "del"
				return x.skip()
			})
		case "tc":
			cell := &writer{}
			cells = append(cells, cell)
			return d.blocks(x, cell)
		case "sdt", "sdtContent", "ins", "customXml":
			return x.each(nil, read)
		}
		return x.skip()
	}
	err := x.each(nil, read)
	switch {
	case deleted:
	case len(cells) == 1:
		w.paragraph(cells[0].b.String())
	default:
		texts := make([]string, len(cells))
		for i, c := range cells {
			texts[i] = c.b.String()
		}
		w.line(joinCells(texts))
	}
	return err
}

// readNotes keeps the notes of a part; those that only draw a line have a type.
func (d *docx) readNotes(data []byte, kind string) error {
	return parse(data, func(x *reader, _ xml.StartElement) error {
		return x.each(nil, func(e xml.StartElement) error {
			if t := attr(e, "type"); e.Name.Local != kind || t != "" && t != "normal" {
				return x.skip()
			}
			var w writer
			err := d.blocks(x, &w)
			if text := w.b.String(); text != "" {
				d.notes[kind+" "+attr(e, "id")] = "[" + kind + "] " + text
			}
			return err
		})
	})
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
