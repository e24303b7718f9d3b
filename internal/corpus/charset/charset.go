// Package charset turns the bytes of text files into UTF-8. A file is decoded by
// its byte order mark, else by the encoding that is asked for, else as UTF-8 if it
// is that, else by a guess, which is told.
package charset

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

// ErrBinary says that a file is no text.
var ErrBinary = errors.New("looks like a binary file, not text")

// Text is what a file's bytes say.
type Text struct {
	String   string // UTF-8, with '\n' at the ends of lines and a blank for each run of NULs
	Encoding string // by guess; empty if the file is UTF-8 or its encoding was known
	Lost     Lost
}

// Lost tells what could not be decoded; each place is U+FFFD in the text.
type Lost struct {
	Encoding string
	Places   int
	Line     int // of the first, from 1
}

// Err returns nil if nothing was lost.
func (l Lost) Err() error {
	switch l.Places {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("line %d holds bytes that are not %s; they became U+FFFD", l.Line, l.Encoding)
	}
	return fmt.Errorf("%d places hold bytes that are not %s, the first in line %d; they became U+FFFD", l.Places, l.Encoding, l.Line)
}

// Lookup returns the encoding of that name: one of the web's or of IANA's, or
// utf-32, utf-32le or utf-32be.
func Lookup(name string) (encoding.Encoding, error) {
	switch strings.ToLower(name) {
	case "utf-32", "utf-32le", "utf32":
		return utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM), nil
	case "utf-32be":
		return utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM), nil
	}
	if e, err := htmlindex.Get(name); err == nil && e != encoding.Replacement {
		return e, nil
	}
	if e, err := ianaindex.IANA.Encoding(name); err == nil && e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("encoding %q is not known; known are such as utf-8, utf-16le, windows-1252, gb18030, shift_jis, koi8-r", name)
}

// Decode decodes a whole file. An error is ErrBinary or that label, the encoding
// asked for if not empty, is not known. A byte order mark goes before label.
func Decode(data []byte, label string) (Text, error) {
	if name, size := mark(data); name != "" {
		e, err := Lookup(name)
		if err != nil {
			return Text{}, err
		}
		return decode(data[size:], e, name), nil
	}
	if label != "" {
		e, err := Lookup(label)
		if err != nil {
			return Text{}, err
		}
		return decode(data, e, label), nil
	}
	if c, ok := guessWide(data); ok {
		t := decode(data, c.enc, c.name)
		t.Encoding = c.name
		return t, nil
	}
	if Binary(data) {
		return Text{}, ErrBinary
	}
	if utf8.Valid(data) {
		return decode(data, unicode.UTF8, "utf-8"), nil
	}
	if damaged(data) {
		return decode(data, unicode.UTF8, "utf-8"), nil
	}
	c, score := guess(data)
	if score < 0 && bytes.IndexByte(data, 0) >= 0 {
		return Text{}, ErrBinary
	}
	t := decode(data, c.enc, c.name)
	t.Encoding = c.name
	return t, nil
}

// mark returns the encoding that a byte order mark tells, and the mark's length.
func mark(data []byte) (name string, size int) {
	for _, m := range []struct{ bytes, name string }{
		{"\xef\xbb\xbf", "utf-8"}, {"\xff\xfe\x00\x00", "utf-32le"}, {"\x00\x00\xfe\xff", "utf-32be"},
		{"\xff\xfe", "utf-16le"}, {"\xfe\xff", "utf-16be"},
	} {
		if bytes.HasPrefix(data, []byte(m.bytes)) {
			return m.name, len(m.bytes)
		}
	}
	return "", 0
}

// decode decodes all of data and tidies it.
func decode(data []byte, e encoding.Encoding, name string) Text {
	var s string
	lost := Lost{Encoding: name}
	if e == unicode.UTF8 {
		if utf8.Valid(data) {
			s = string(data)
		} else {
			s, lost.Places, lost.Line = repair(data)
		}
	} else {
		out, err := e.NewDecoder().Bytes(data)
		if err != nil { // of UTF-16 and the like; the others put U+FFFD in
			lost.Places++
		}
		s = strings.ToValidUTF8(strings.TrimPrefix(string(out), "\ufeff"), "\ufffd")
		if n := strings.Count(s, "\ufffd"); n > 0 {
			lost.Places = n
			lost.Line = 1 + strings.Count(s[:strings.Index(s, "\ufffd")], "\n")
		}
	}
	return Text{String: tidy(s), Lost: lost}
}

// repair puts U+FFFD for each run of bytes that are not UTF-8 and counts them.
func repair(data []byte) (s string, places, line int) {
	var b strings.Builder
	bad := false
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size == 1 {
			if !bad {
				if places++; places == 1 {
					line = 1 + strings.Count(b.String(), "\n")
				}
				b.WriteRune(utf8.RuneError)
			}
			bad = true
		} else {
			bad = false
			b.Write(data[:size])
		}
		data = data[size:]
	}
	return b.String(), places, line
}

// tidy ends lines with '\n' and puts a blank for every run of NULs.
func tidy(s string) string {
	if strings.IndexByte(s, '\r') >= 0 {
		s = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s)
	}
	if strings.IndexByte(s, 0) < 0 {
		return s
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(s, 0)
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		b.WriteByte(' ')
		s = strings.TrimLeft(s[i:], "\x00")
	}
}

// Binary reports whether data, the beginning of a file or all of it, is no text in
// an encoding whose ASCII is ASCII. Logs may hold runs of NULs.
func Binary(data []byte) bool {
	data = data[:min(len(data), sampleSize)]
	nuls, controls, runs := 0, 0, 0
	for i, b := range data {
		switch {
		case b == 0:
			nuls++
			if i == 0 || data[i-1] != 0 {
				runs++
			}
		case b == 0x7f || b < ' ' && strings.IndexByte("\t\n\v\f\r\b\x1b", b) < 0:
			controls++
		}
	}
	rest := len(data) - nuls
	switch {
	case len(data) == 0:
		return false
	case rest == 0 || controls > 2+rest/50: // a terminal's marks in a short text are no reason
		return true
	case nuls == 0:
		return false
	}
	if utf8.Valid(data) {
		return runs*8 > rest
	}
	return runs > 4+rest/4096 || runs*50 > rest
}

// damaged reports whether data, which is not UTF-8, looks like UTF-8 with faults
// rather than like another encoding.
func damaged(data []byte) bool {
	good, bad := 0, 0
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size == 1:
			if good > 0 && !utf8.FullRune(data) {
				return good >= bad // cut within the last character
			}
			bad++
		case size > 1:
			good++
		}
		data = data[size:]
	}
	return good >= bad
}

// guessWide finds UTF-16 and UTF-32 without a mark, and ISO-2022-JP, whose bytes
// are all ASCII. Text in UTF-16 nearly always has blanks, digits or line ends, and
// those have a zero byte.
func guessWide(data []byte) (candidate, bool) {
	sample := data[:min(len(data), sampleSize)]
	if bytes.Contains(sample, []byte("\x1b$B")) || bytes.Contains(sample, []byte("\x1b$@")) {
		return candidate{name: "iso-2022-jp", enc: japanese.ISO2022JP}, true
	}
	nuls, printable := 0, 0
	for _, b := range sample {
		switch {
		case b == 0:
			nuls++
		case b >= ' ' && b < 0x7f || b == '\n' || b == '\r' || b == '\t':
			printable++
		}
	}
	if nuls == 0 || nuls*4 < len(sample) && printable*10 > (len(sample)-nuls)*9 {
		return candidate{}, false // ASCII with some NULs, which reads as rare ideographs
	}
	best, top := candidate{}, 0
	for _, name := range []string{"utf-32le", "utf-32be", "utf-16le", "utf-16be"} {
		e, err := Lookup(name)
		if err != nil {
			continue
		}
		width := 2
		if strings.HasPrefix(name, "utf-32") {
			width = 4
		}
		if len(sample) < 2*width {
			continue
		}
		if ascii, ok := wideText(sample[:len(sample)/width*width], e); ok && ascii*width > top {
			best, top = candidate{name: name, enc: e}, ascii*width
		}
	}
	return best, top > 0
}

// wideText counts the ASCII characters of a sample; false if it holds what text
// does not.
func wideText(sample []byte, e encoding.Encoding) (ascii int, ok bool) {
	out, err := e.NewDecoder().Bytes(sample)
	if err != nil {
		return 0, false
	}
	total, bad := 0, 0
	for _, r := range string(out) {
		total++
		switch {
		case r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r < 0x7f:
			ascii++
		case r == utf8.RuneError || !graphic(r):
			bad++
		}
	}
	// a character cut at the sample's end counts as bad
	return ascii, bad <= 1+total/100 && bad*4 <= total
}
