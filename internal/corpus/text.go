package corpus

import "github.com/flashback-lm/flashback/internal/corpus/charset"

// ErrBinary says that a file is no text.
var ErrBinary = charset.ErrBinary

// parsePlain reads plain text and source code; the title is the file's name.
func parsePlain(f file) (Document, error) {
	doc, err := f.text()
	doc.Title = f.name
	doc.Places = []Place{{Headings: []string{}, Line: 1}} // its lines of '#' may be comments
	return doc, err
}

// text returns a document of the file's text as it stands. With an error it may hold
// all but what could not be decoded.
func (f file) text() (Document, error) {
	t, err := charset.Decode(f.data, f.fields.Encoding)
	if err != nil {
		return Document{}, err
	}
	return Document{Text: t.String, Encoding: t.Encoding}, t.Lost.Err()
}
