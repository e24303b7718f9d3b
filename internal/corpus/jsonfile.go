package corpus

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/flashback-lm/flashback/internal/corpus/charset"
)

// parseJSON reads an object that has the field of the text as a record, a list of
// them as records, and any other JSON as one text of its keys and values. What is no JSON, such as
// settings with comments, is text as it stands, and one object a line is records.
func parseJSON(in io.Reader, source, name string, fields Fields, yield func(Document, error) bool) bool {
	data, err := readAll(in)
	if err != nil {
		return yield(Document{}, &FileError{Source: source, Err: reason(err)})
	}
	text, err := charset.Decode(data, fields.Encoding)
	if err != nil {
		return yield(Document{}, &FileError{Source: source, Err: err})
	}
	j := jsonFile{text: text.String, source: source, fields: fields, encoding: text.Encoding, yield: yield}
	switch {
	case j.isRecords():
		if !j.records() {
			return false
		}
	case isLines(j.text):
		return parseJSONL(strings.NewReader(j.text), source, name, fields, yield)
	default:
		doc := Document{ID: source, Title: name, Text: j.text, Source: source, Encoding: text.Encoding}
		if record, bad := jsonDocument([]byte(j.text), fields); bad == nil {
			doc.ID, doc.Title, doc.Text = cmp.Or(record.ID, source), cmp.Or(record.Title, name), record.Text
		} else if written, err := writeJSON(j.text); err == nil {
			doc.Text = written
		} else if errors.Is(err, errTooMuchText) {
			return yield(Document{}, &FileError{Source: source, Err: err})
		}
		if !yield(doc, nil) {
			return false
		}
	}
	if err := text.Lost.Err(); err != nil {
		return yield(Document{}, &FileError{Source: source, Err: err})
	}
	return true
}

type jsonFile struct {
	text, source, encoding string
	fields                 Fields
	yield                  func(Document, error) bool
}

// isRecords reports whether the file is a list whose first object is a record.
func (j *jsonFile) isRecords() bool {
	dec := json.NewDecoder(strings.NewReader(j.text))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('[') || !dec.More() {
		return false
	}
	var first map[string]json.RawMessage
	return dec.Decode(&first) == nil && (first[j.fields.Text] != nil || j.fields.Text != DefaultFields.Text)
}

func (j *jsonFile) records() bool {
	fail := func(line int, e FileError) bool {
		e.Source, e.Line = j.source, line
		return j.yield(Document{}, &e)
	}
	rr := recordReader{lines: &charset.Lines{Encoding: j.encoding}, source: j.source, yield: j.yield}
	dec := json.NewDecoder(strings.NewReader(j.text))
	_, _ = dec.Token()
	line, counted := 1, 0
	for dec.More() {
		start := int(dec.InputOffset())
		start += len(j.text[start:]) - len(strings.TrimLeft(j.text[start:], ", \t\n"))
		line += strings.Count(j.text[counted:start], "\n")
		counted = start
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return fail(line, FileError{Err: fmt.Errorf("not JSON from here on: %w", err)})
		}
		if doc, bad := jsonDocument(raw, j.fields); bad != nil {
			if !fail(line, *bad) {
				return false
			}
		} else if !rr.document(doc, line) {
			return false
		}
	}
	return true
}

// isLines reports whether a text is JSON with an object a line rather than one value.
func isLines(text string) bool {
	first, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	second, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	return strings.HasPrefix(first, "{") && strings.HasPrefix(second, "{") && json.Valid([]byte(first)) && json.Valid([]byte(second))
}

// errTooMuchText says that a text became longer than the file may be.
var errTooMuchText = fmt.Errorf("more than %d MiB of text", MaxFile>>20)

// Bounds of what is written of JSON: deeper values, long lists of numbers, such as
// vectors and outlines, and long words, such as pictures, are left out.
const (
	maxJSONDepth   = 200
	maxJSONNumbers = 100
	maxJSONWord    = 300
)

// writeJSON writes JSON as lines "key: value", nested ones indented, and lists of
// plain values on one line.
func writeJSON(text string) (string, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	w := jsonWriter{dec: dec}
	if err := w.value("", 0); err != nil {
		return "", err
	}
	if _, err := dec.Token(); err != io.EOF {
		return "", errors.New("more than one value")
	}
	return strings.ToValidUTF8(strings.TrimSpace(w.b.String()), "\ufffd"), nil
}

type jsonWriter struct {
	dec *json.Decoder
	b   strings.Builder
}

// value writes the next value after its key.
func (w *jsonWriter) value(key string, depth int) error {
	tok, err := w.dec.Token()
	if err != nil {
		return err
	}
	return w.token(tok, key, depth)
}

func (w *jsonWriter) token(tok json.Token, key string, depth int) error {
	if w.b.Len() > MaxFile {
		return errTooMuchText
	}
	if depth > maxJSONDepth {
		return fmt.Errorf("values nest more than %d deep", maxJSONDepth)
	}
	switch tok {
	case json.Delim('{'):
		w.line(depth, key, "")
		if key != "" {
			depth++
		}
		for w.dec.More() {
			name, err := w.dec.Token()
			if err != nil {
				return err
			}
			if err := w.value(fmt.Sprint(name), depth); err != nil {
				return err
			}
		}
		_, err := w.dec.Token()
		return err
	case json.Delim('['):
		return w.list(key, depth)
	}
	if value := scalar(tok); value != "" {
		w.line(depth, key, value)
	}
	return nil
}

// list writes the items of a list: plain ones on a line, others apart.
func (w *jsonWriter) list(key string, depth int) error {
	var plain []string
	numbers, opened := 0, false
	flush := func() {
		if len(plain) > 0 && numbers <= maxJSONNumbers {
			w.line(depth, key, strings.Join(plain, ", "))
		}
		plain, numbers = nil, 0
	}
	for w.dec.More() {
		tok, err := w.dec.Token()
		if err != nil {
			return err
		}
		if _, nested := tok.(json.Delim); !nested {
			if s := scalar(tok); s != "" {
				plain = append(plain, s)
			}
			if _, ok := tok.(json.Number); ok {
				numbers++
			}
			continue
		}
		flush()
		if !opened {
			w.line(depth, key, "")
			opened = true
		}
		if n := w.b.Len(); n > 0 {
			w.b.WriteByte('\n')
		}
		if err := w.token(tok, "", depth+min(len(key), 1)); err != nil {
			return err
		}
	}
	flush()
	_, err := w.dec.Token()
	return err
}

// line writes "key: value"; nothing if there is neither.
func (w *jsonWriter) line(depth int, key, value string) {
	if key == "" && value == "" {
		return
	}
	w.b.WriteString(strings.Repeat("  ", min(depth, 20)))
	if key != "" {
		w.b.WriteString(key + ":")
		if value != "" {
			w.b.WriteByte(' ')
		}
	}
	w.b.WriteString(value + "\n")
}

// scalar returns a plain value as text; empty for null and for what is no words.
func scalar(tok json.Token) string {
	switch v := tok.(type) {
	case nil:
		return ""
	case string:
		if longWord(v) {
			return ""
		}
		return strings.TrimSpace(v)
	}
	return fmt.Sprint(tok)
}

// longWord reports whether s is one run of ASCII without blanks that is longer than
// words are.
func longWord(s string) bool {
	return len(s) > maxJSONWord && !bytes.ContainsFunc([]byte(s), func(r rune) bool { return r == ' ' || r == '\n' || r >= 0x80 })
}
