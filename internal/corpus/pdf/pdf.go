// Package pdf reads the text of PDF files, page by page, as it is read on paper:
// words apart, lines and rows of tables together, hyphens at line ends undone.
//
// PDFium decodes the files. It runs as WebAssembly, so that a hostile file can at
// worst lose its own text: it has no memory, no files and no time but what it is
// given here.
package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	pdfiumerrors "github.com/klippa-app/go-pdfium/errors"
)

// Document is what could be read of a file, and what could not.
type Document struct {
	Title  string // empty where there is none, or only what a program filled in
	Pages  []Page // those that hold text, in order
	Faults Faults // what is lost of it
}

// Page is the text of one page.
type Page struct {
	Number int    // from 1
	Text   string // valid UTF-8, not empty
}

// Why a file as a whole cannot be read.
var (
	ErrPassword = errors.New("needs a password")
	ErrFormat   = errors.New("not a readable PDF: it is damaged, cut short or of another kind")
	ErrSecurity = errors.New("encrypted in a way that cannot be read, such as for the holders of certificates")
	ErrLimit    = errors.New("takes more time or memory than one file may")
)

// maxLost is how many pages in a row may be missing, or may each cost the engine its
// life, before the rest of the file is given up: a page tree may claim millions.
const maxLost = 1000

// maxCrashes is how many pages may do so at all: each can take the time of one page.
const maxCrashes = 5

// Read returns the text of a file, of at most limit bytes.
func Read(data []byte, limit int) (doc Document, err error) {
	data, err = fromHeader(data)
	if err != nil {
		return Document{}, err
	}
	faults := faults{}
	r, err := open(data)
	if err == ErrFormat {
		for repaired := range repairs(data) {
			if r, err = open(repaired); err == nil {
				data = repaired
				doc.Faults = append(doc.Faults, Fault{Err: ErrCut})
				break
			}
		}
	}
	if err != nil {
		return Document{}, err
	}
	defer func() { r.close() }()
	doc.Title = cleanTitle(r.title())
	words := vocabulary{}
	size, lost, crashes := 0, 0, 0
	pages := make([]page, 0, min(r.pages, 1024))
	for number := 1; number <= r.pages && lost < maxLost && crashes < maxCrashes; number++ {
		p, err := r.page(number)
		if err != nil && !errors.Is(err, pdfiumerrors.ErrPage) { // it was stopped or failed
			crashes++
			faults.add(ErrTooHard, number)
			r.close()
			if r, err = open(data); err != nil {
				return Document{}, err
			}
			continue
		}
		if err != nil {
			lost++
			faults.add(ErrDamaged, number)
			continue
		}
		lost = 0
		if p.fault != nil {
			faults.add(p.fault, number)
		}
		if len(p.lines) == 0 {
			continue
		}
		for _, l := range p.lines {
			size += len(l.text)
			words.add(l.text)
		}
		if size > limit {
			return Document{}, fmt.Errorf("more than %d MiB of text", limit>>20)
		}
		p.number = number
		pages = append(pages, p)
	}
	for _, p := range pages {
		if text := p.text(words); text != "" {
			doc.Pages = append(doc.Pages, Page{Number: p.number, Text: text})
		}
	}
	doc.Faults = append(doc.Faults, faults.list()...)
	return doc, nil
}

// fromHeader drops what a server or mailer left before the file, and gives a file
// without a header one: PDFium looks for it in the first kilobyte only.
func fromHeader(data []byte) ([]byte, error) {
	if at := bytes.Index(data, []byte("%PDF-")); at >= 0 {
		return data[at:], nil
	}
	if bytes.Contains(data, []byte(" obj")) && bytes.Contains(data, []byte("/Page")) {
		return append([]byte("%PDF-1.7\n"), data...), nil
	}
	return nil, ErrFormat
}

// cleanText makes what PDFium returned valid text of one line: no half surrogates,
// no control characters, no zero terminator.
func cleanText(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\u00a0':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == '\ufffd' || r == '\ufeff':
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}
