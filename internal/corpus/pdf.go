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
func parsePDF(data []byte, name string) (title, text string, err error) {
	defer func() { // the library panics on files that break its expectations
		if p := recover(); p != nil {
			err = fmt.Errorf("not a readable PDF: %v", p)
		}
	}()
	r, err := pdf.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return "", "", fmt.Errorf("not a readable PDF: %w", err)
	}
	var b strings.Builder
	for i := 1; i <= r.NumPage(); i++ {
		page := r.Page(i)
		if page.V.IsNull() {
			continue
		}
		s, err := page.GetPlainText(nil)
		if err != nil {
			return "", "", fmt.Errorf("page %d: %w", i, err)
		}
		if b.Len() > MaxFile {
			return "", "", fmt.Errorf("more than %d MiB of text", MaxFile>>20)
		}
		b.WriteString(strings.TrimSpace(s))
		b.WriteString("\n\n")
	}
	text = strings.TrimSpace(strings.ToValidUTF8(b.String(), "\ufffd"))
	if text == "" {
		return "", "", errors.New("no text in this PDF: its pages are pictures; run an OCR program first")
	}
	title = strings.TrimSpace(strings.ToValidUTF8(r.Trailer().Key("Info").Key("Title").Text(), ""))
	if title == "" {
		title = name
	}
	return title, text, nil
}
