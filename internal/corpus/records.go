package corpus

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// maxLine bounds one record.
const maxLine = 64 << 20

// parseJSONL reads one JSON object a line. A line that is no record is reported
// and the next is read.
func parseJSONL(r io.Reader, source, _ string, fields Fields, yield func(Document, error) bool) bool {
	br := bufio.NewReaderSize(r, 1<<16)
	for line := 1; ; line++ {
		at := fmt.Sprintf("%s:%d", source, line)
		data, err := readLine(br)
		if err != nil && err != io.EOF {
			return yield(Document{}, &FileError{Source: at, Err: err})
		}
		text := strings.TrimSpace(strings.TrimPrefix(string(data), "\ufeff"))
		if text != "" {
			doc, bad := jsonDocument(text, fields)
			if bad != nil {
				if !yield(Document{}, &FileError{Source: at, Err: bad}) {
					return false
				}
			} else if !yield(complete(doc, at, source), nil) {
				return false
			}
		}
		if err == io.EOF {
			return true
		}
	}
}

// readLine returns the next line without its end, io.EOF with the last.
func readLine(br *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := br.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, fmt.Errorf("a line of more than %d MiB", maxLine>>20)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return line, err
	}
}

func jsonDocument(text string, fields Fields) (Document, error) {
	var record map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &record); err != nil {
		return Document{}, fmt.Errorf("not a JSON object: %w", err)
	}
	if _, ok := record[fields.Text]; !ok {
		return Document{}, fmt.Errorf("no field %q; name the field that holds the text", fields.Text)
	}
	var doc Document
	var err error
	for field, dst := range map[string]*string{fields.ID: &doc.ID, fields.Title: &doc.Title, fields.Text: &doc.Text} {
		if raw, ok := record[field]; ok && err == nil {
			*dst, err = jsonString(field, raw)
		}
	}
	return doc, err
}

// jsonString accepts a string, a number (ids often are) or null.
func jsonString(field string, raw json.RawMessage) (string, error) {
	var s *string
	if json.Unmarshal(raw, &s) == nil {
		if s == nil {
			return "", nil
		}
		return *s, nil
	}
	var n json.Number
	if err := json.Unmarshal(raw, &n); err != nil {
		return "", fmt.Errorf("field %q is neither a string nor a number", field)
	}
	return n.String(), nil
}

// parseCSV reads comma- or tab-separated records whose first line names the
// fields.
func parseCSV(r io.Reader, source, name string, fields Fields, yield func(Document, error) bool) bool {
	cr := csv.NewReader(r)
	cr.ReuseRecord = true
	cr.FieldsPerRecord = -1
	if strings.EqualFold(path.Ext(name), ".tsv") {
		cr.Comma, cr.LazyQuotes = '\t', true
	}
	header, err := cr.Read()
	if err == io.EOF {
		return true
	}
	fail := func(line int, err error) bool {
		return yield(Document{}, &FileError{Source: source + ":" + strconv.Itoa(line), Err: err})
	}
	if err != nil {
		return fail(1, err)
	}
	id, title, text := -1, -1, -1
	for i, field := range header {
		switch strings.TrimSpace(strings.TrimPrefix(field, "\ufeff")) {
		case fields.Text:
			text = i
		case fields.ID:
			id = i
		case fields.Title:
			title = i
		}
	}
	if text < 0 {
		return fail(1, fmt.Errorf("no column %q; name the column that holds the text", fields.Text))
	}
	for {
		record, err := cr.Read()
		if err == io.EOF {
			return true
		}
		if parseErr, ok := errors.AsType[*csv.ParseError](err); ok {
			if !fail(parseErr.Line, parseErr.Err) {
				return false
			}
			continue
		}
		if err != nil { // of reading or unpacking the file
			return yield(Document{}, &FileError{Source: source, Err: err})
		}
		line, _ := cr.FieldPos(0)
		if text >= len(record) {
			if !fail(line, fmt.Errorf("%d columns, the text is column %d", len(record), text+1)) {
				return false
			}
			continue
		}
		doc := Document{Text: strings.Clone(record[text])}
		if id >= 0 && id < len(record) {
			doc.ID = strings.Clone(record[id])
		}
		if title >= 0 && title < len(record) {
			doc.Title = strings.Clone(record[title])
		}
		if !yield(complete(doc, source+":"+strconv.Itoa(line), source), nil) {
			return false
		}
	}
}

// complete gives a record its place as id where it has none, and valid text.
func complete(doc Document, at, source string) Document {
	if doc.ID == "" {
		doc.ID = at
	}
	doc.Source = source
	doc.ID = strings.ToValidUTF8(doc.ID, "\ufffd")
	doc.Title = strings.ToValidUTF8(doc.Title, "\ufffd")
	doc.Text = strings.ToValidUTF8(doc.Text, "\ufffd")
	return doc
}
