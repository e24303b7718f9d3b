package corpus

import (
	"errors"
	"io"
	"strings"

	"github.com/flashback-lm/flashback/internal/corpus/pdf"
)

// parsePDF yields the text of a PDF with the place of each page, and an error that
// says what is lost of it.
func parsePDF(r io.Reader, source, name string, _ Fields, yield func(Document, error) bool) bool {
	data, err := readAll(r)
	var file pdf.Document
	if err == nil {
		file, err = pdf.Read(data, MaxFile)
	}
	if err == nil && len(file.Pages) == 0 && len(file.Faults) == 0 {
		err = errors.New("no text in this PDF: its pages are blank or drawings")
	}
	if err != nil {
		return yield(Document{}, &FileError{Source: source, Err: reason(err)})
	}
	if len(file.Faults) > 0 && !yield(Document{}, &FileError{Source: source, Part: len(file.Pages) > 0, Err: file.Faults}) {
		return false
	}
	if len(file.Pages) == 0 {
		return true
	}
	doc := Document{ID: source, Source: source, Title: file.Title}
	if doc.Title == "" {
		doc.Title = name
	}
	var text strings.Builder
	for i, page := range file.Pages {
		if i > 0 {
			text.WriteString("\n\n")
		}
		doc.Places = append(doc.Places, Place{Offset: text.Len(), Page: page.Number})
		text.WriteString(page.Text)
	}
	doc.Text = text.String()
	return yield(doc, nil)
}
