package corpus

import (
	"reflect"
	"testing"

	"github.com/flashback-lm/flashback/internal/corpus/pdf"
)

// TestPDF reads a folder of files that are whole, partly and not to be read; the
// package pdf has tests of what is read of each.
func TestPDF(t *testing.T) {
	byName := map[string]Document{}
	said := map[string]bool{}
	for d, err := range Read(t.Context(), "pdf/testdata", Options{}) {
		if err != nil {
			said[err.Error()] = true
			continue
		}
		byName[d.Source] = d
	}
	if want := (Document{
		ID: "page-scanned.pdf", Source: "page-scanned.pdf", Title: "page-scanned.pdf", Text: "Page one.\n\nPage three.",
		Places: []Place{{Offset: 0, Page: 1}, {Offset: 11, Page: 3}},
	}); !reflect.DeepEqual(byName["page-scanned.pdf"], want) {
		t.Errorf("got %+v, want %+v", byName["page-scanned.pdf"], want)
	}
	for fault, harmless := range map[error]bool{pdf.ErrBlank: true, pdf.ErrScanned: false} {
		err := &FileError{Err: pdf.Faults{{Pages: []int{1}, Err: pdf.ErrBlank}, {Pages: []int{2}, Err: fault}}}
		if Harmless(err) != harmless {
			t.Errorf("%v ends a strict run: %v", err, harmless)
		}
	}
	if d := byName["title-given.pdf"]; d.Title != "A history of bridges" || d.Text != "Titled." {
		t.Errorf("got %+v", d)
	}
	for _, want := range []string{
		"page-scanned.pdf: page 2: scanned, holds no text; run an OCR program first",
		"cut.pdf: its end is lost or damaged, what else is there was read; page 3: blank or damaged, holds no text",
		"page-garbled.pdf: page 2: blank or damaged, holds no text",
		"password-aes-256.pdf: needs a password",
		"userpw.pdf: needs a password",
	} {
		if !said[want] {
			t.Errorf("nobody says %q", want)
		}
	}
}
