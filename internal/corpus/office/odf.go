package office

import (
	"bytes"
	"encoding/xml"
	"strings"
)

// ODF reads a text, spreadsheet or presentation of OpenDocument: headings, lists,
// a table's row on a line, notes after the paragraph that refers to them, tracked
// changes as accepted, slides with their notes. Headers, footers, comments and
// hidden text are left out.
func ODF(data []byte, kind string) (Text, error) {
	a, err := Open(data, kind)
	if err != nil {
		return Text{}, err
	}
	if manifest, err := a.Read("META-INF/manifest.xml"); err == nil && bytes.Contains(manifest, []byte("encryption-data")) {
		return Text{}, errLocked
	}
	content, err := a.Read("content.xml")
	if err != nil && len(content) == 0 {
		return Text{}, err
	}
	title := ""
	if meta, err := a.Read("meta.xml"); err == nil {
		var properties struct {
			Title string `xml:"meta>title"`
		}
		if xml.Unmarshal(meta, &properties) == nil && !generated(properties.Title) {
			title = properties.Title
		}
	}
	var w writer
	o := odf{styles: map[string]odfStyle{}, names: kind == ".ods"}
	walkErr := parse(content, func(x *reader, _ xml.StartElement) error { return o.blocks(x, &w) })
	return w.text(title), part(err, walkErr, "content.xml")
}

type odf struct {
	styles map[string]odfStyle
	names  bool     // the first row of a table names its columns
	depth  int      // of lists
	after  []string // notes and boxes that follow the present paragraph
}

// odfStyle is what a style of the document's own says.
type odfStyle struct {
	parent string
	hidden bool
}

// readStyles keeps the styles that a document makes for itself.
func (o *odf) readStyles(x *reader) error {
	return x.each(nil, func(e xml.StartElement) error {
		s, name := odfStyle{parent: attr(e, "parent-style-name")}, attr(e, "name")
		err := x.each(nil, func(e xml.StartElement) error {
			s.hidden = s.hidden || e.Name.Local == "text-properties" && attr(e, "display") == "none"
			return x.skip()
		})
		o.styles[name] = s
		return err
	})
}

// blocks reads paragraphs, lists and tables to the end of an element.
func (o *odf) blocks(x *reader, w *writer) error {
	return x.each(nil, func(e xml.StartElement) error {
		if err := w.room(); err != nil {
			return err
		}
		switch e.Name.Local {
		case "h":
			text, err := o.inline(x)
			level := atoi(attr(e, "outline-level"))
			w.heading(max(level, 1), text)
			o.flush(w)
			return err
		case "p":
			style := attr(e, "style-name")
			text, err := o.inline(x)
			if style == "Title" || o.styles[style].parent == "Title" {
				w.heading(1, text)
			} else if o.depth > 0 {
				w.line(strings.Repeat("  ", o.depth-1) + "- " + oneLine(text))
			} else {
				w.paragraph(text)
			}
			o.flush(w)
			return err
		case "automatic-styles":
			return o.readStyles(x)
		case "list":
			if o.depth == 0 {
				w.apart()
				defer w.apart()
			}
			o.depth++
			err := o.blocks(x, w)
			o.depth--
			return err
		case "table":
			return o.table(x, w, attr(e, "name"))
		case "page":
			w.turn()
			return o.blocks(x, w)
		case "frame":
			if class := attr(e, "class"); class == "title" {
				text, err := x.inner()
				w.heading(1, text)
				return err
			}
			return o.blocks(x, w)
		case "notes": // of a slide
			var notes writer
			err := o.blocks(x, &notes)
			if notes.b.Len() > 0 {
				w.paragraph("Notes: " + notes.b.String())
			}
			return err
		case "tracked-changes", "annotation", "scripts", "font-face-decls", "forms", "hidden-paragraph",
			"sequence-decls", "desc", "title", "date-time", "footer", "header", "page-thumbnail", "index-title-template", "settings":
			return x.skip()
		}
		return o.blocks(x, w) // body, text, section, list-item, shapes and the like
	})
}

func (o *odf) flush(w *writer) {
	for _, s := range o.after {
		w.paragraph(s)
	}
	o.after = nil
}

// inline returns a paragraph's text to its end; its notes and boxes are kept.
func (o *odf) inline(x *reader) (string, error) {
	var b strings.Builder
	var read func(e xml.StartElement) error
	write := func(s string) { b.WriteString(strings.Map(blank, s)) }
	read = func(e xml.StartElement) error {
		switch e.Name.Local {
		case "s":
			b.WriteString(strings.Repeat(" ", min(max(atoi(attr(e, "c")), 1), 100)))
		case "tab":
			b.WriteByte('\t')
		case "line-break":
			b.WriteByte('\n')
		case "note":
			class := attr(e, "note-class")
			return x.each(nil, func(e xml.StartElement) error {
				if e.Name.Local != "note-body" {
					return x.skip()
				}
				text, err := o.apart(x)
				if text != "" {
					o.after = append(o.after, "["+class+"] "+text)
				}
				return err
			})
		case "frame", "text-box", "custom-shape":
			text, err := o.apart(x)
			if text != "" {
				o.after = append(o.after, text)
			}
			return err
		case "span":
			if !o.styles[attr(e, "style-name")].hidden {
				return x.each(write, read)
			}
		case "annotation", "ruby-text", "hidden-text", "tracked-changes", "title", "desc":
		default:
			return x.each(write, read)
		}
		return x.skip()
	}
	err := x.each(write, read)
	return strings.TrimSpace(b.String()), err
}

// apart returns the text of blocks that do not stand in the present paragraph.
func (o *odf) apart(x *reader) (string, error) {
	inner := odf{styles: o.styles}
	var w writer
	err := inner.blocks(x, &w)
	return w.b.String(), err
}

// blank makes line ends of the file's layout blanks.
func blank(r rune) rune {
	if r == '\n' || r == '\r' {
		return ' '
	}
	return r
}

// A number says how often a cell is repeated. maxColumns bounds a row, and maxRepeats
// a cell that is not empty.
const (
	maxColumns = 1 << 14
	maxRepeats = 1 << 8
)

// table writes each row on a line.
func (o *odf) table(x *reader, w *writer, name string) error {
	s := sheet{w: w, begun: !o.names}
	if o.names {
		s.name = name
	}
	w.apart()
	defer w.apart()
	var read func(e xml.StartElement) error
	read = func(e xml.StartElement) error {
		switch e.Name.Local {
		case "table-row":
			cells, frame, err := o.row(x)
			if err == nil {
				if frame && len(cells) == 1 && !o.names {
					w.paragraph(cells[0])
					return w.room()
				}
				err = s.row(cells) // one of rows that are alike
			}
			return err
		case "table-header-rows", "table-rows", "table-row-group":
			return x.each(nil, read)
		}
		return x.skip()
	}
	err := x.each(nil, read)
	s.end()
	return err
}

// row returns the cells of one up to the last that is not empty; frame tells that it
// has but one.
func (o *odf) row(x *reader) (cells []string, frame bool, err error) {
	all := 0
	empty := 0 // cells that the next one stands behind
	err = x.each(nil, func(e xml.StartElement) error {
		if e.Name.Local != "table-cell" && e.Name.Local != "covered-table-cell" {
			return x.skip()
		}
		text, err := o.apart(x)
		times := max(atoi(attr(e, "number-columns-repeated")), 1)
		all = min(all+min(times, 2), 2)
		if strings.TrimSpace(text) == "" {
			empty = min(empty+min(times, maxColumns), maxColumns)
			return err
		}
		if len(text) > 100 {
			times = 1 // once says it
		}
		cells = append(cells, make([]string, min(empty, max(maxColumns-len(cells), 0)))...)
		empty = 0
		for range min(times, maxRepeats, max(maxColumns-len(cells), 1)) {
			cells = append(cells, text)
		}
		return err
	})
	return cells, all == 1, err
}
