package charset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"
)

// MaxLine bounds one line, in bytes.
const MaxLine = 64 << 20

// Lines reads text of any encoding line by line. A line that is valid UTF-8 is taken
// as that unless the encoding is known; the first that is not decides by what
// follows it what the file is written in.
type Lines struct {
	// Encoding is what was guessed so far; empty if the lines are UTF-8 or their
	// encoding was known.
	Encoding string
	// Lost counts what of the lines read so far could not be decoded.
	Lost Lost

	br   *bufio.Reader
	enc  encoding.Encoding // of single bytes and the like; nil: UTF-8 so far
	all  bool              // enc is for every line
	utf8 bool              // it is UTF-8 with faults
	long []byte            // a line that br's buffer does not hold
	n    int               // lines read
}

// NewLines returns a reader of the lines of r, in the encoding of that label if it
// is not empty and r begins with no byte order mark.
func NewLines(r io.Reader, label string) (*Lines, error) {
	const buffer = 1 << 18
	l := &Lines{br: bufio.NewReaderSize(r, buffer)}
	head, err := l.br.Peek(sampleSize)
	if err != nil && err != io.EOF {
		return nil, err
	}
	l.Lost.Encoding = "utf-8"
	name, size := mark(head)
	switch c, wide := guessWide(head); {
	case name == "utf-8":
		_, err := l.br.Discard(size)
		return l, err
	case name != "":
		if _, err := l.br.Discard(size); err != nil {
			return nil, err
		}
	case label != "":
		name = label
	case wide:
		name, l.Encoding = c.name, c.name
	case Binary(head):
		return nil, ErrBinary
	default:
		return l, nil
	}
	e, err := Lookup(name)
	if err != nil {
		return nil, err
	}
	l.Lost.Encoding = name
	l.br = bufio.NewReaderSize(transform.NewReader(l.br, e.NewDecoder()), buffer)
	l.all = true
	return l, nil
}

// Next returns the next line with its end, as UTF-8 valid until the next call, and
// io.EOF with the last.
func (l *Lines) Next() ([]byte, error) {
	line, err := l.br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		l.long = append(l.long[:0], line...)
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = l.br.ReadSlice('\n')
			l.long = append(l.long, line...)
			if len(l.long) > MaxLine {
				return nil, fmt.Errorf("a line of more than %d MiB", MaxLine>>20)
			}
		}
		line = l.long
	}
	l.n++
	if !utf8.Valid(line) {
		line = l.decode(line)
	} else if l.all && bytes.Contains(line, []byte("\ufffd")) {
		l.lose(bytes.Count(line, []byte("\ufffd")))
	}
	if bytes.IndexByte(line, 0) >= 0 {
		line = []byte(tidy(string(line)))
	}
	return line, err
}

// decode returns a line that is not UTF-8 as such.
func (l *Lines) decode(line []byte) []byte {
	if l.enc == nil && !l.utf8 {
		next, _ := l.br.Peek(min(l.br.Buffered(), sampleSize))
		window := append(bytes.Clone(line), next...)
		if l.utf8 = l.all || damaged(window); !l.utf8 {
			c, _ := guess(window)
			l.enc, l.Encoding, l.Lost.Encoding = c.enc, c.name, c.name
		}
	}
	if l.utf8 {
		s, places, _ := repair(line)
		l.lose(places)
		return []byte(s)
	}
	out, err := l.enc.NewDecoder().Bytes(line)
	if err != nil {
		l.lose(1)
	}
	l.lose(bytes.Count(out, []byte("\ufffd")))
	return bytes.ToValidUTF8(out, []byte("\ufffd"))
}

func (l *Lines) lose(places int) {
	if l.Lost.Places == 0 && places > 0 {
		l.Lost.Line = l.n
	}
	l.Lost.Places += places
}
