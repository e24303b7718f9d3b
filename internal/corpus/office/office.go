// Package office reads the text of documents that office programs write: Word,
// PowerPoint and Excel in Office Open XML, OpenDocument, and RTF.
//
// Readers return what they could read, and beside it an error if something could
// not be.
package office

import (
	"errors"
	"fmt"
	"strings"
)

// MaxSize bounds what one file may unpack to and the text that is made of it, in
// bytes.
const MaxSize = 256 << 20

// Text is what a document says.
type Text struct {
	Title string // empty if it has none
	Body  string // headings as '#' lines, a row of a table on a line
	Pages []Page // in order; nil in documents that have none
}

// Page says where a slide begins in a document's body.
type Page struct{ Offset, Number int }

var errTooLong = fmt.Errorf("more than %d MiB of text", MaxSize>>20)

// writer puts blocks of text together: paragraphs with an empty line between them,
// lines of a list or table without.
type writer struct {
	b     strings.Builder
	tight bool // the last block was a line
	page  int  // the present one; 0: none
	pages []Page
}

// room reports an error once there is too much text.
func (w *writer) room() error {
	if w.b.Len() > MaxSize {
		return errTooLong
	}
	return nil
}

// paragraph writes a block of its own.
func (w *writer) paragraph(s string) { w.block(s, false) }

// line writes a line that belongs to those around it.
func (w *writer) line(s string) { w.block(s, true) }

// heading writes a '#' line.
func (w *writer) heading(level int, s string) {
	if s = oneLine(s); s != "" {
		w.paragraph(strings.Repeat("#", min(max(level, 1), 6)) + " " + s)
	}
}

func (w *writer) block(s string, tight bool) {
	if s = strings.TrimRight(strings.Trim(s, "\n"), " \t\n"); strings.TrimSpace(s) == "" {
		return
	}
	if w.b.Len() > 0 {
		w.b.WriteByte('\n')
		if !tight || !w.tight {
			w.b.WriteByte('\n')
		}
	}
	if n := len(w.pages); w.page > 0 && (n == 0 || w.pages[n-1].Number != w.page) {
		w.pages = append(w.pages, Page{Offset: w.b.Len(), Number: w.page})
	}
	w.b.WriteString(s)
	w.tight = tight
}

// apart keeps the next line from those before it.
func (w *writer) apart() { w.tight = false }

// turn begins the next slide.
func (w *writer) turn() {
	w.page++
	w.tight = false
}

func (w *writer) text(title string) Text {
	return Text{Title: oneLine(title), Body: strings.ToValidUTF8(w.b.String(), "\ufffd"), Pages: w.pages}
}

// joinCells writes a row of a table on one line; empty if no cell holds text.
func joinCells(cells []string) string {
	for i, c := range cells {
		cells[i] = oneLine(c)
	}
	return strings.Trim(strings.Join(cells, " | "), " |")
}

// oneLine puts single blanks for all runs of blanks and line ends.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// generated reports whether a program rather than a person gave a title.
func generated(title string) bool {
	switch strings.ToLower(strings.TrimSpace(title)) {
	case "powerpoint presentation", "powerpoint-präsentation", "présentation powerpoint", "presentación de powerpoint", "untitled", "slide 1", "word document":
		return true
	}
	return false
}

// part joins the errors of the parts of a document.
func part(err, of error, name string) error {
	if of == nil {
		return err
	}
	return errors.Join(err, fmt.Errorf("%s: %w", name, of))
}
