package corpus

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/ledongthuc/pdf"
)

// parsePDF returns the text of a PDF page by page. The title is the document's
// property, else the file's name. Pages that are pictures have no text.
func parsePDF(f file) (doc Document, err error) {
	defer func() { // the library panics on files that break its expectations
		if p := recover(); p != nil {
			err = fmt.Errorf("not a readable PDF: %v", p)
		}
	}()
	r, err := pdf.NewReader(bytes.NewReader(f.data), int64(len(f.data)))
	if err != nil {
		return Document{}, fmt.Errorf("not a readable PDF: %w", err)
	}
	var b strings.Builder
	for i := 1; i <= r.NumPage(); i++ {
		page := r.Page(i)
		if page.V.IsNull() {
			continue
		}
		s, err := page.GetPlainText(nil)
		if err != nil {
			return Document{}, fmt.Errorf("page %d: %w", i, err)
		}
		if b.Len() > MaxFile {
			return Document{}, fmt.Errorf("more than %d MiB of text", MaxFile>>20)
		}
		b.WriteString(strings.TrimSpace(s))
		b.WriteString("\n\n")
	}
	doc.Text = strings.TrimSpace(strings.ToValidUTF8(b.String(), "\ufffd"))
	if doc.Text == "" {
		return Document{}, errors.New("no text in this PDF: its pages are pictures; run an OCR program first")
	}
	doc.Title = strings.TrimSpace(strings.ToValidUTF8(r.Trailer().Key("Info").Key("Title").Text(), ""))
	return doc, nil
}
