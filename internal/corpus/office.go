package corpus

import (
	"cmp"

	"github.com/flashback-lm/flashback/internal/corpus/office"
)

// officeDocument turns a reader of office documents into a parser.
func officeDocument(read func(data []byte) (office.Text, error)) parse {
	return oneDocument(func(f file) (Document, error) {
		text, err := read(f.data)
		doc := Document{Title: text.Title, Text: text.Body}
		for _, page := range text.Pages {
			doc.Places = append(doc.Places, Place{Offset: page.Offset, Page: page.Number})
		}
		return doc, err
	})
}

// spreadsheet is officeDocument for files whose headings, names of sheets, are no
// titles.
func spreadsheet(read func(data []byte) (office.Text, error)) parse {
	return oneDocument(func(f file) (Document, error) {
		text, err := read(f.data)
		return Document{Title: cmp.Or(text.Title, f.name), Text: text.Body}, err
	})
}

// openDocument returns a reader of a kind of OpenDocument.
func openDocument(kind string) func(data []byte) (office.Text, error) {
	return func(data []byte) (office.Text, error) { return office.ODF(data, kind) }
}
