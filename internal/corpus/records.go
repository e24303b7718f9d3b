package corpus

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxLine bounds one record.
const maxLine = 64 << 20

// parseJSONL reads one JSON object a line. A line that is no record is reported
// and the next is read.
func parseJSONL(r io.Reader, source, _ string, fields Fields, yield func(Document, error) bool) bool {
	lines := newLineReader(r)
	for line := 1; ; line++ {
		data, err := lines.next()
		if err != nil && err != io.EOF {
			return yield(Document{}, &FileError{Source: source, Line: line, Err: err})
		}
		record := bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
		if len(record) > 0 {
			doc, bad := jsonDocument(record, fields)
			if bad != nil {
				bad.Source, bad.Line = source, line
				if !yield(Document{}, bad) {
					return false
				}
			} else if !yield(complete(doc, source, line), nil) {
				return false
			}
		}
		if err == io.EOF {
			return true
		}
	}
}

// lineReader reads lines of up to maxLine bytes.
type lineReader struct {
	br   *bufio.Reader
	long []byte // a line that br's buffer does not hold
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{br: bufio.NewReaderSize(r, 1<<18)}
}

// next returns the next line with its end, valid until the next call, and io.EOF
// with the last.
func (l *lineReader) next() ([]byte, error) {
	line, err := l.br.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	l.long = append(l.long[:0], line...)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.br.ReadSlice('\n')
		l.long = append(l.long, line...)
		if len(l.long) > maxLine {
			return nil, fmt.Errorf("a line of more than %d MiB", maxLine>>20)
		}
	}
	return l.long, err
}

// parseCSV reads comma-separated records whose first line names the fields.
func parseCSV(r io.Reader, source, _ string, fields Fields, yield func(Document, error) bool) bool {
	cr := csv.NewReader(r)
	cr.ReuseRecord = true
	cr.FieldsPerRecord = -1
	line := 1
	return parseColumns(source, fields, yield, func() (record []string, at int, bad, err error) {
		record, err = cr.Read()
		if parseErr, ok := errors.AsType[*csv.ParseError](err); ok {
			line = parseErr.Line
			return nil, line, parseErr.Err, nil
		}
		if err == nil {
			line, _ = cr.FieldPos(0)
		}
		return record, line, nil, err
	})
}

// parseTSV reads lines of fields separated by tabs, without quoting, whose first
// line names the fields.
func parseTSV(r io.Reader, source, _ string, fields Fields, yield func(Document, error) bool) bool {
	lines := newLineReader(r)
	line := 0
	return parseColumns(source, fields, yield, func() (record []string, at int, bad, err error) {
		for {
			data, err := lines.next()
			if err != nil && (err != io.EOF || len(data) == 0) {
				return nil, line, nil, err
			}
			line++
			if text := strings.TrimRight(string(data), "\r\n"); text != "" {
				return strings.Split(text, "\t"), line, nil, nil
			}
		}
	})
}

// parseColumns yields a document for every record that next returns, with its
// line; bad says why a record is none, err ends the file.
func parseColumns(source string, fields Fields, yield func(Document, error) bool, next func() (record []string, line int, bad, err error)) bool {
	fail := func(line int, err error, fields ...string) bool {
		return yield(Document{}, &FileError{Source: source, Line: line, Fields: fields, Err: err})
	}
	header, line, bad, err := next()
	if err == io.EOF {
		return true
	}
	if bad = cmp.Or(bad, err); bad != nil {
		return fail(line, bad)
	}
	columns := map[string]int{}
	for i, field := range header {
		columns[strings.TrimSpace(strings.TrimPrefix(field, "\ufeff"))] = i
	}
	text, ok := columns[fields.Text]
	if !ok {
		return fail(line, fmt.Errorf("no column %q; name the column that holds the text", fields.Text), header...)
	}
	for {
		record, line, bad, err := next()
		if err == io.EOF {
			return true
		}
		if err != nil { // of reading or unpacking the file
			return yield(Document{}, &FileError{Source: source, Err: err})
		}
		if bad == nil && text >= len(record) {
			bad = fmt.Errorf("%d columns, the text is column %d", len(record), text+1)
		}
		if bad != nil {
			if !fail(line, bad) {
				return false
			}
			continue
		}
		column := func(name string) string {
			if i, ok := columns[name]; ok && i < len(record) {
				return strings.Clone(record[i])
			}
			return ""
		}
		doc := Document{ID: column(fields.ID), Title: column(fields.Title), Text: column(fields.Text)}
		if !yield(complete(doc, source, line), nil) {
			return false
		}
	}
}

// complete gives a record its place as id where it has none, and valid text.
func complete(doc Document, source string, line int) Document {
	if doc.ID == "" {
		doc.ID = source + ":" + strconv.Itoa(line)
	}
	doc.Source = source
	for _, field := range []*string{&doc.ID, &doc.Title, &doc.Text} {
		if !utf8.ValidString(*field) {
			*field = strings.ToValidUTF8(*field, "\ufffd")
		}
	}
	return doc
}
