package corpus

import (
	"bytes"
	"cmp"
	"io"
	"path"
	"strings"

	"github.com/flashback-lm/flashback/internal/corpus/charset"
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
	Kept       string   // what a reader keeps of it, for the documentation
	parse      parse
}

// kinds are all that are known by their extension.
var kinds = []Kind{
	{"Markdown", []string{".md", ".markdown", ".mdx"}, "all but front matter, of which the title, and comments", oneDocument(parseMarkdown)},
	{"web page", []string{".html", ".htm", ".xhtml"}, "the text that a browser shows, without navigation; headings, tables, code; the title", oneDocument(parseHTML)},
	{"PDF", []string{".pdf"}, "text by page; the title", parsePDF},
	{"Word document", []string{".docx", ".docm", ".dotx", ".dotm"}, "paragraphs, headings, lists, tables, text boxes, notes; changes as accepted; the title", officeDocument(office.DOCX)},
	{"Excel workbook", []string{".xlsx", ".xlsm", ".xltx", ".xltm"}, "cells as they are shown, by sheet and row, after their columns' names", spreadsheet(office.XLSX)},
	{"PowerPoint presentation", []string{".pptx", ".pptm", ".ppsx"}, "titles, text, tables, diagrams and notes by slide", officeDocument(office.PPTX)},
	{"OpenDocument text", []string{".odt", ".ott"}, "as of Word documents", officeDocument(openDocument(".odt"))},
	{"OpenDocument spreadsheet", []string{".ods"}, "as of Excel workbooks", spreadsheet(openDocument(".ods"))},
	{"OpenDocument presentation", []string{".odp"}, "as of PowerPoint presentations", officeDocument(openDocument(".odp"))},
	{"Rich Text", []string{".rtf"}, "paragraphs, headings, tables, footnotes; the title", officeDocument(office.RTF)},
	{"EPUB book", []string{".epub"}, "chapters in the order of reading; the title", oneDocument(parseEPUB)},
	{"mail message", []string{".eml"}, "sender, recipients, date, subject, text; attachments by name", oneDocument(parseMail)},
	{"Jupyter notebook", []string{".ipynb"}, "text, code, and outputs that are text", oneDocument(parseNotebook)},
	{"reStructuredText", []string{".rst", ".rest"}, "all but comments and the names of directives", oneDocument(parseRST)},
	{"Org", []string{".org"}, "headings, text, tables, code; the title", oneDocument(parseOrg)},
	{"JSON", []string{".json"}, "a list of records as those; else keys and values", parseJSON},
	{"JSON lines", []string{".jsonl", ".ndjson"}, "a record a line: its id, title and text", parseJSONL},
	{"delimited records", []string{".csv"}, "a record a row: its id, title and text, or all columns with their names", parseCSV},
	{"tab-separated records", []string{".tsv", ".tab"}, "as of delimited records; quotes are text", parseTSV},
}

// plain is any other file, read if it is text.
var plain = Kind{"text", nil, "all, as it stands", oneDocument(parsePlain)}

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
			if !yield(Document{}, &FileError{Source: source, Part: doc.Text != "", Err: reason(err)}) {
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

// Accepts reports whether a file of that name, which begins with head, can be read: its
// kind is known by its extension, it is text, or it is compressed. Its reader may yet
// find fault with it.
func Accepts(name string, head []byte) bool {
	r, inner, err := Decompress(bytes.NewReader(head), name)
	if err != nil {
		return false
	}
	r.Close()
	if _, known := KindOf(inner); known || inner != name {
		return true
	}
	_, err = charset.Decode(head, "")
	return err == nil
}
