package corpus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonDocument reads a record. Nearly all are flat objects, which flatRecord
// reads several times faster than encoding/json; that one reads the others, and
// says what is wrong with those that are none.
func jsonDocument(line []byte, fields Fields) (Document, *FileError) {
	r := flatRecord{data: line, fields: fields}
	if r.read() {
		return r.doc, nil
	}
	var record map[string]json.RawMessage
	if err := json.Unmarshal(line, &record); err != nil {
		return Document{}, &FileError{Err: fmt.Errorf("not a JSON object: %w", err)}
	}
	if _, ok := record[fields.Text]; !ok {
		return Document{}, &FileError{Fields: slices.Sorted(maps.Keys(record)), Err: noField(fields.Text)}
	}
	var doc Document
	var err error
	for field, dst := range map[string]*string{fields.ID: &doc.ID, fields.Title: &doc.Title, fields.Text: &doc.Text} {
		if raw, ok := record[field]; ok && err == nil {
			*dst, err = jsonString(field, raw)
		}
	}
	if err != nil {
		return Document{}, &FileError{Err: err}
	}
	return doc, nil
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

// flatRecord reads an object whose values are strings, whole numbers, null, true
// and false. It accepts nothing that is not JSON, and gives up on all else.
type flatRecord struct {
	data   []byte // valid UTF-8
	at     int
	fields Fields
	doc    Document
}

// read fills doc; false says that the record has to be read in full generality.
func (r *flatRecord) read() bool {
	hasText := false
	if !r.skip('{') {
		return false
	}
	for {
		key, plain, ok := r.quoted()
		if !ok || !plain || !r.skip(':') {
			return false
		}
		isText, isTitle, isID := string(key) == r.fields.Text, string(key) == r.fields.Title, string(key) == r.fields.ID
		value, ok := r.value(isText || isTitle || isID)
		if !ok {
			return false
		}
		if isText {
			r.doc.Text, hasText = value, true
		}
		if isTitle {
			r.doc.Title = value
		}
		if isID {
			r.doc.ID = value
		}
		if r.skip(',') {
			continue
		}
		return r.skip('}') && r.at == len(r.data) && hasText
	}
}

// skip passes blanks, then c and the blanks after it; false if c is not there.
func (r *flatRecord) skip(c byte) bool {
	r.blanks()
	if r.at == len(r.data) || r.data[r.at] != c {
		return false
	}
	r.at++
	r.blanks()
	return true
}

func (r *flatRecord) blanks() {
	for r.at < len(r.data) && isBlank(r.data[r.at]) {
		r.at++
	}
}

// value reads a value, and returns it if it is wanted.
func (r *flatRecord) value(wanted bool) (value string, ok bool) {
	rest := r.data[r.at:]
	if len(rest) == 0 {
		return "", false
	}
	if rest[0] == '"' {
		s, plain, ok := r.quoted()
		switch {
		case !ok || !wanted:
			return "", ok
		case plain:
			return string(s), true
		}
		return unescape(s), true
	}
	n := 0
	for n < len(rest) && '0' <= rest[n] && rest[n] <= '9' {
		n++
	}
	if n == 1 || n > 1 && rest[0] != '0' {
		r.at += n // a fraction or an exponent is not what has to follow
		return string(rest[:n]), true
	}
	for _, word := range []string{"null", "true", "false"} {
		if bytes.HasPrefix(rest, []byte(word)) {
			r.at += len(word)
			return "", !wanted || word == "null"
		}
	}
	return "", false
}

// quoted reads a string and returns what stands between its quotes, plain if it
// has no escapes.
func (r *flatRecord) quoted() (s []byte, plain, ok bool) {
	if r.at == len(r.data) || r.data[r.at] != '"' {
		return nil, false, false
	}
	s, plain = r.data[r.at+1:], true
	for i := 0; i < len(s); i++ {
		if !jsonSpecial[s[i]] {
			continue
		}
		switch s[i] {
		case '"':
			r.at += i + 2
			return s[:i], plain, true
		case '\\':
			n := escapeLen(s[i:])
			if n == 0 {
				return nil, false, false
			}
			plain = false
			i += n - 1
		default:
			return nil, false, false // control characters must be escaped
		}
	}
	return nil, false, false
}

// jsonSpecial tells which bytes of a string are not themselves.
var jsonSpecial = func() (t [256]bool) {
	for b := range 0x20 {
		t[b] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

// jsonEscapes gives what follows a backslash its meaning.
var jsonEscapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escapeLen returns the length of the escape that s begins with, 0 if it is none.
func escapeLen(s []byte) int {
	switch {
	case len(s) < 2:
		return 0
	case jsonEscapes[s[1]] != 0:
		return 2
	}
	if _, ok := escapedUnit(s); !ok {
		return 0
	}
	return 6
}

// escapedUnit reads \uXXXX, a unit of UTF-16.
func escapedUnit(s []byte) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	unit := rune(0)
	for _, c := range s[2:6] {
		digit := bytes.IndexByte([]byte("0123456789abcdef"), c|0x20)
		if digit < 0 || c < '0' {
			return 0, false
		}
		unit = unit<<4 | rune(digit)
	}
	return unit, true
}

// unescape returns what a string with good escapes means; surrogates that are no
// pair become U+FFFD.
func unescape(s []byte) string {
	var out strings.Builder
	out.Grow(len(s))
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			out.Write(s)
			return out.String()
		}
		out.Write(s[:i])
		s = s[i:]
		if b := jsonEscapes[s[1]]; b != 0 {
			out.WriteByte(b)
			s = s[2:]
			continue
		}
		r, _ := escapedUnit(s)
		s = s[6:]
		if utf16.IsSurrogate(r) {
			low, _ := escapedUnit(s)
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				s = s[6:]
			}
		}
		out.WriteRune(r)
	}
}
