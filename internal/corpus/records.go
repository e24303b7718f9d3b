package corpus

import (
	"bytes"
	"io"
	"strconv"
	"strings"

	"github.com/flashback-lm/flashback/internal/corpus/charset"
)

// recordReader yields the records of one file.
type recordReader struct {
	lines  *charset.Lines
	source string
	fields Fields
	yield  func(Document, error) bool
}

// newRecordReader opens r; false if it cannot be read, which has been reported, and
// goOn says whether to go on with the next file.
func newRecordReader(r io.Reader, source string, fields Fields, yield func(Document, error) bool) (rr *recordReader, goOn bool) {
	lines, err := charset.NewLines(r, fields.Encoding)
	if err != nil {
		return nil, yield(Document{}, &FileError{Source: source, Err: err})
	}
	return &recordReader{lines: lines, source: source, fields: fields, yield: yield}, true
}

// document yields a record, with its place as id where it has none.
func (r *recordReader) document(doc Document, line int) bool {
	if doc.ID == "" {
		doc.ID = r.source + ":" + strconv.Itoa(line)
	}
	doc.Source = r.source
	doc.Encoding = r.lines.Encoding
	return r.yield(doc, nil)
}

// fail reports a record, or the file if line is 0.
func (r *recordReader) fail(line int, err error, fields ...string) bool {
	return r.yield(Document{}, &FileError{Source: r.source, Line: line, Fields: fields, Err: err})
}

// end reports what could not be decoded.
func (r *recordReader) end() bool {
	if err := r.lines.Lost.Err(); err != nil {
		return r.fail(0, err)
	}
	return true
}

// parseJSONL reads one JSON object a line. A line that is no record is reported
// and the next is read.
func parseJSONL(in io.Reader, source, _ string, fields Fields, yield func(Document, error) bool) bool {
	r, goOn := newRecordReader(in, source, fields, yield)
	if r == nil {
		return goOn
	}
	for line := 1; ; line++ {
		data, err := r.lines.Next()
		if err != nil && err != io.EOF {
			return r.fail(line, err)
		}
		if record := bytes.TrimSpace(data); len(record) > 0 {
			doc, bad := jsonDocument(record, fields)
			if bad != nil && !r.fail(line, bad.Err, bad.Fields...) || bad == nil && !r.document(doc, line) {
				return false
			}
		}
		if err == io.EOF {
			return r.end()
		}
	}
}

// parseCSV reads records whose first row names the fields, in any case. Where no
// column has the name of the text's, and none was asked for, a document is all
// fields of its row with their names.
func parseCSV(in io.Reader, source, name string, fields Fields, yield func(Document, error) bool) bool {
	return parseColumns(in, source, name, fields, yield, func(r *recordReader) *rows {
		return &rows{lines: r.lines, delimiter: fields.Delimiter, quotes: true}
	})
}

// parseTSV reads lines of fields separated by tabs, without quoting, whose first
// line names the fields.
func parseTSV(in io.Reader, source, name string, fields Fields, yield func(Document, error) bool) bool {
	return parseColumns(in, source, name, fields, yield, func(r *recordReader) *rows {
		tab := fields.Delimiter
		if tab == 0 {
			tab = '\t'
		}
		return &rows{lines: r.lines, delimiter: tab}
	})
}

func parseColumns(in io.Reader, source, name string, fields Fields, yield func(Document, error) bool, open func(*recordReader) *rows) bool {
	r, goOn := newRecordReader(in, source, fields, yield)
	if r == nil {
		return goOn
	}
	rows := open(r)
	header, line, err := rows.next()
	if err == io.EOF {
		return r.end()
	}
	if err != nil {
		return r.fail(line, err)
	}
	rows.columns = len(header)
	table := newTable(header, fields)
	if table.text < 0 && fields.Text != DefaultFields.Text {
		return r.fail(line, noField(fields.Text), header...)
	}
	if table.text < 0 && !table.named {
		rows.unread() // the first row is data
	}
	for {
		record, line, err := rows.next()
		switch {
		case err == io.EOF:
			return r.end()
		case isBadRow(err):
			if !r.fail(line, err) {
				return false
			}
			continue
		case err != nil: // of reading or unpacking the file
			return r.fail(0, err)
		}
		doc, err := table.document(record)
		if err != nil {
			if !r.fail(line, err) {
				return false
			}
			continue
		}
		if doc.Title == "" && table.text < 0 {
			doc.Title = name
		}
		if strings.TrimSpace(doc.Text) != "" && !r.document(doc, line) {
			return false
		}
	}
}
