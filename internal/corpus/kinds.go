package corpus

import (
	"cmp"
	"io"
	"path"
	"strings"

	"github.com/flashback-lm/flashback/internal/corpus/office"
)

// Fields says what a reader has to be told about files that do not say it
// themselves: the names of the fields of records, and how text is written.
type Fields struct {
	ID, Title string // of records; may be missing in one
	Text      string // of records
	Delimiter rune   // between the columns of .csv and .tsv; 0: found
	Encoding  string // of all text, such as "windows-1252"; empty: found
}

// DefaultFields are the names that most sets use.
var DefaultFields = Fields{ID: "id", Title: "title", Text: "text"}

// withDefaults names what is not named.
func (f Fields) withDefaults() Fields {
	f.ID, f.Title, f.Text = cmp.Or(f.ID, DefaultFields.ID), cmp.Or(f.Title, DefaultFields.Title), cmp.Or(f.Text, DefaultFields.Text)
	return f
}

// Kind is a kind of file that can be read.
type Kind struct {
	Name       string   // such as "Word document"
	Extensions []string // with the dot, in lower case
	parse      parse
}

// kinds are all that are known by their extension.
var kinds = []Kind{
	{"Markdown", []string{".md", ".markdown"}, oneDocument(parseMarkdown)},
	{"web page", []string{".html", ".htm", ".xhtml"}, oneDocument(parseHTML)},
	{"PDF", []string{".pdf"}, parsePDF},
	{"Word document", []string{".docx", ".docm", ".dotx", ".dotm"}, officeDocument(office.DOCX)},
	{"Excel workbook", []string{".xlsx", ".xlsm", ".xltx"}, spreadsheet(office.XLSX)},
	{"PowerPoint presentation", []string{".pptx", ".pptm", ".ppsx"}, officeDocument(office.PPTX)},
	{"OpenDocument text", []string{".odt", ".ott"}, officeDocument(openDocument(".odt"))},
	{"OpenDocument spreadsheet", []string{".ods"}, spreadsheet(openDocument(".ods"))},
	{"OpenDocument presentation", []string{".odp"}, officeDocument(openDocument(".odp"))},
	{"Rich Text", []string{".rtf"}, officeDocument(office.RTF)},
	{"JSON lines", []string{".jsonl", ".ndjson"}, parseJSONL},
	{"comma-separated records", []string{".csv"}, parseCSV},
	{"tab-separated records", []string{".tsv"}, parseTSV},
}

// plain is any other file, read if it is text.
var plain = Kind{"text", nil, oneDocument(parsePlain)}

// Kinds returns the kinds that are known by their extension.
func Kinds() []Kind { return kinds }

// KindOf returns the kind of a file by the extension of its name; plain text, and
// false, if it is unknown.
func KindOf(name string) (kind Kind, known bool) {
	kind, known = kindByExtension[strings.ToLower(path.Ext(name))]
	if !known {
		kind = plain
	}
	return kind, known
}

var kindByExtension = func() map[string]Kind {
	m := map[string]Kind{}
	for _, k := range kinds {
		for _, ext := range k.Extensions {
			m[ext] = k
		}
	}
	return m
}()

// parse reads one file's documents from r; name is the file's, without the
// extension of its compression.
type parse func(r io.Reader, source, name string, fields Fields, yield func(Document, error) bool) bool

// file is one file that holds one document.
type file struct {
	name   string // without the extension of its compression
	data   []byte
	fields Fields
}

// oneDocument turns a parser of whole files into one that yields documents. The
// parser sets the text and, where it knows them, the title, places and encoding; a
// title that it leaves empty becomes the first heading, else the file's name. It
// may return both a document, what could be read, and an error, what could not.
func oneDocument(f func(f file) (Document, error)) parse {
	return func(r io.Reader, source, name string, fields Fields, yield func(Document, error) bool) bool {
		data, err := readAll(r)
		var doc Document
		if err == nil {
			doc, err = f(file{name: name, data: data, fields: fields})
		}
		if err != nil {
			if !yield(Document{}, &FileError{Source: source, Err: reason(err)}) {
				return false
			}
			if doc.Text == "" {
				return true
			}
		}
		doc.ID, doc.Source = source, source
		if doc.Title == "" {
			doc.Title = firstHeading(doc.Text)
		}
		if doc.Title == "" {
			doc.Title = name
		}
		return yield(doc, nil)
	}
}
