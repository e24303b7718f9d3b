package corpus

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/flashback-lm/flashback/internal/corpus/charset"
)

// rows reads rows of delimited fields. A field in quotes may hold delimiters, line
// ends and doubled quotes. A quote that nothing closes costs its row only, which
// encoding/csv would read on to the end of the file.
type rows struct {
	lines     *charset.Lines
	delimiter rune // 0: found from the first lines
	quotes    bool
	columns   int // of the header; 0: not known

	ahead  []string // lines read but not used
	line   int      // of the row last returned, from 1
	used   int      // lines used
	last   []string // the lines of the row last returned
	failed int      // bytes looked through for a closing quote in vain
	err    error    // that ended the lines
}

// errOpenQuote says why a row is none.
var errOpenQuote = errors.New("a quote opens a field and does not close it")

func isBadRow(err error) bool { return err == errOpenQuote }

// lookAhead bounds what is searched in vain for closing quotes, in bytes a file.
const lookAhead = 256 << 20

// next returns the next row that is not empty, with its first line.
func (r *rows) next() (row []string, line int, err error) {
	if r.delimiter == 0 {
		r.sniff()
	}
	for {
		text, ok := r.peek(0)
		if !ok {
			return nil, r.used + 1, r.err
		}
		if strings.TrimSpace(text) == "" && r.delimiter != '\t' || text == "" {
			r.take(1)
			continue
		}
		r.line = r.used + 1
		row, n := r.split()
		if n > 1 && r.columns > 0 && len(row) != r.columns {
			n = 0 // the quote that ended it belongs to another row
		}
		r.take(max(n, 1))
		if n == 0 {
			return nil, r.line, errOpenQuote
		}
		return row, r.line, nil
	}
}

// unread makes next return its last row again.
func (r *rows) unread() {
	r.ahead = slices.Concat(r.last, r.ahead)
	r.used -= len(r.last)
	r.last = nil
}

// peek returns the line n after those used, without its end.
func (r *rows) peek(n int) (string, bool) {
	for len(r.ahead) <= n {
		if r.err != nil {
			return "", false
		}
		data, err := r.lines.Next()
		r.err = err
		if err != nil && (err != io.EOF || len(data) == 0) {
			return "", false
		}
		r.ahead = append(r.ahead, string(bytes.TrimRight(data, "\r\n")))
	}
	return r.ahead[n], true
}

func (r *rows) take(n int) {
	r.last = r.ahead[:n:n]
	r.ahead = r.ahead[n:]
	r.used += n
}

// split parses the row that begins with the next line and returns how many lines it
// has; none if a quote is left open.
func (r *rows) split() (row []string, n int) {
	text, _ := r.peek(0)
	if !r.quotes {
		return strings.Split(text, string(r.delimiter)), 1
	}
	n = 1
	for {
		if !strings.HasPrefix(text, `"`) {
			field, rest, more := strings.Cut(text, string(r.delimiter))
			row = append(row, field)
			if !more {
				return row, n
			}
			text = rest
			continue
		}
		var field strings.Builder
		rest, closed := r.quoted(&field, text[1:])
		for ; !closed; n++ {
			// Within one line a quote that is not doubled is text; over several lines
			// it tells that the first was a stray one.
			more, ok := r.peek(n)
			if !ok || r.failed > lookAhead || field.Len() > charset.MaxLine || strayQuote(more, r.delimiter) {
				r.failed += field.Len()
				return nil, 0
			}
			field.WriteByte('\n')
			rest, closed = r.quoted(&field, more)
		}
		row = append(row, field.String())
		if rest == "" {
			return row, n
		}
		text = rest[utf8.RuneLen(r.delimiter):]
	}
}

// quoted writes what a line holds of a field in quotes. If the field ends in it, rest
// is empty or begins with the delimiter.
func (r *rows) quoted(field *strings.Builder, line string) (rest string, closed bool) {
	for {
		i := strings.IndexByte(line, '"')
		if i < 0 {
			field.WriteString(line)
			return "", false
		}
		field.WriteString(line[:i])
		line = line[i+1:]
		after := strings.TrimLeft(line, " ")
		switch {
		case strings.HasPrefix(line, `"`):
			field.WriteByte('"')
			line = line[1:]
		case after == "" || strings.HasPrefix(after, string(r.delimiter)):
			return after, true
		default:
			field.WriteByte('"')
		}
	}
}

// strayQuote reports whether a line opens a field with a quote, as no line within a
// field does.
func strayQuote(line string, delimiter rune) bool {
	for i := 0; i < len(line); i++ {
		if line[i] != '"' {
			continue
		}
		if i+1 < len(line) && line[i+1] == '"' {
			i++ // doubled
			continue
		}
		rest := strings.TrimLeft(line[i+1:], " ")
		return rest != "" && !strings.HasPrefix(rest, string(delimiter))
	}
	return false
}

// delimiters are what may stand between fields, the most usual first.
const delimiters = ",;\t|"

// sniff finds the delimiter: the one that a line "sep=;" names as Excel has it, else
// the one that cuts the first lines most often into rows of equal length.
func (r *rows) sniff() {
	r.delimiter = ','
	const sample = 20
	for i := range sample {
		if _, ok := r.peek(i); !ok {
			break
		}
	}
	if len(r.ahead) == 0 {
		return
	}
	if sep, ok := strings.CutPrefix(r.ahead[0], "sep="); ok && utf8.RuneCountInString(sep) == 1 {
		r.delimiter, _ = utf8.DecodeRuneInString(sep)
		r.take(1)
		return
	}
	best := 0
	for _, d := range delimiters {
		columns := cells(r.ahead[0], d)
		if columns < 2 {
			continue
		}
		equal := 0
		for _, line := range r.ahead[:min(sample, len(r.ahead))] {
			if cells(line, d) == columns {
				equal++
			}
		}
		if score := equal*1000 + min(columns, 999); score > best {
			best, r.delimiter = score, d
		}
	}
}

// cells counts the fields of a line.
func cells(line string, delimiter rune) int {
	n, quoted := 1, false
	for _, c := range line {
		switch {
		case c == '"':
			quoted = !quoted
		case c == delimiter && !quoted:
			n++
		}
	}
	return n
}

func isLetter(r rune) bool { return unicode.IsLetter(r) }

func isSpace(r rune) bool { return unicode.IsSpace(r) }
