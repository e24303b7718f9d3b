package office

import (
	"encoding/xml"
	"slices"
	"strings"
)

// PPTX reads a presentation slide by slide: its title as a heading, its shapes,
// tables and diagrams, and the speaker's notes. Dates, footers and numbers of slides
// are left out.
func PPTX(data []byte) (Text, error) {
	a, err := Open(data, ".pptx")
	if err != nil {
		return Text{}, err
	}
	main, title, err := a.mainPart("ppt/presentation.xml")
	if err != nil {
		return Text{}, err
	}
	presentation, err := a.Read(main)
	if err != nil {
		return Text{}, err
	}
	relations, err := a.relations(main)
	if err != nil {
		return Text{}, err
	}
	var slides []string
	err = parse(presentation, func(x *reader, _ xml.StartElement) error {
		return x.each(nil, func(e xml.StartElement) error {
			if e.Name.Local != "sldIdLst" {
				return x.skip()
			}
			return x.each(nil, func(e xml.StartElement) error {
				for _, at := range e.Attr {
					if r, ok := relations[at.Value]; ok && at.Name.Local == "id" && at.Name.Space != "" {
						slides = append(slides, r.target)
					}
				}
				return x.skip()
			})
		})
	})
	err = part(nil, err, main)
	var w writer
	seen := map[string]bool{}
	for _, name := range slides {
		if !seen[name] {
			seen[name] = true
			err = part(err, readSlide(a, name, &w), name)
		}
	}
	return w.text(title), err
}

func readSlide(a *Archive, name string, w *writer) error {
	w.turn()
	data, err := a.Read(name)
	if err != nil {
		return err
	}
	var s slide
	err = parse(data, func(x *reader, _ xml.StartElement) error { return s.shapes(x) })
	w.heading(1, strings.Join(s.title, " "))
	w.paragraph(s.body.b.String())
	relations, relErr := a.relations(name)
	if err == nil {
		err = relErr
	}
	var others []relation
	for _, r := range relations {
		if r.kind == "diagramData" || r.kind == "notesSlide" {
			others = append(others, r)
		}
	}
	slices.SortFunc(others, func(a, b relation) int { return strings.Compare(a.kind+a.target, b.kind+b.target) })
	for _, r := range others {
		data, partErr := a.Read(r.target)
		if partErr != nil {
			err = part(err, partErr, r.target)
			continue
		}
		var s slide
		partErr = parse(data, func(x *reader, _ xml.StartElement) error { return s.shapes(x) })
		err = part(err, partErr, r.target)
		text := s.body.b.String()
		if r.kind == "notesSlide" && strings.TrimSpace(text) != "" {
			text = "Notes: " + text
		}
		w.paragraph(text)
	}
	if err == nil {
		err = w.room()
	}
	return err
}

// slide is the text of one.
type slide struct {
	title       []string
	body        writer
	placeholder string // the kind of the present shape
}

// shapes reads shapes to the end of an element.
func (s *slide) shapes(x *reader) error {
	return x.each(nil, func(e xml.StartElement) error {
		switch e.Name.Local {
		case "sp":
			s.placeholder = ""
			s.body.apart()
			return s.shapes(x)
		case "ph":
			s.placeholder = attr(e, "type")
			if s.placeholder == "" {
				s.placeholder = "obj"
			}
			return x.skip()
		case "AlternateContent":
			done := false
			return x.each(nil, func(e xml.StartElement) error {
				if done {
					return x.skip()
				}
				done = true
				return s.shapes(x)
			})
		case "tbl":
			s.body.apart()
			return s.shapes(x)
		case "tr":
			return s.row(x)
		case "p":
			text, err := s.paragraph(x)
			switch s.placeholder {
			case "title", "ctrTitle":
				if text != "" {
					s.title = append(s.title, text)
				}
			case "dt", "ftr", "hdr", "sldNum", "sldImg":
			default:
				s.body.line(text)
			}
			return err
		}
		return s.shapes(x)
	})
}

func (s *slide) row(x *reader) error {
	var cells []string
	err := x.each(nil, func(e xml.StartElement) error {
		if e.Name.Local != "tc" {
			return x.skip()
		}
		var cell slide
		err := cell.shapes(x)
		cells = append(cells, cell.body.b.String())
		return err
	})
	s.body.line(joinCells(cells))
	return err
}

// paragraph returns a paragraph's text to its end.
func (s *slide) paragraph(x *reader) (string, error) {
	var b strings.Builder
	var read func(e xml.StartElement) error
	read = func(e xml.StartElement) error {
		switch e.Name.Local {
		case "t":
			return x.each(func(s string) { b.WriteString(s) }, nil)
		case "br":
			b.WriteByte('\n')
		case "tab":
			b.WriteByte('\t')
		case "r", "fld", "m", "oMathPara", "oMath", "AlternateContent", "Choice":
			return x.each(nil, read)
		}
		return x.skip()
	}
	err := x.each(nil, read)
	return strings.TrimSpace(b.String()), err
}
