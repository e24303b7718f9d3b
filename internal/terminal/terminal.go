// Package terminal keeps what documents, file names and models say from steering
// the terminal that it is shown on: no escape sequence of theirs moves the cursor,
// sets the title or the clipboard, hides text or turns its direction around.
package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/term"
)

// Is tells whether w is a terminal.
func Is(w any) bool { return File(w) != nil }

// File returns the terminal that w is, for programs that are started on it; nil if
// it is none.
func File(w any) *os.File {
	if safe, ok := w.(*Writer); ok {
		w = safe.w
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// Writer replaces control characters in text by visible ones; line breaks and tabs
// stay. It keeps its first error. It is safe for use by many goroutines, so that a
// progress bar may stand beside what is written.
type Writer struct {
	w    io.Writer
	mu   sync.Mutex
	tail []byte // the beginning of a character whose end is still to be written
	err  error
}

// NewWriter returns a writer of text to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	data := append(w.tail, p...)
	n := whole(data)
	w.tail = append([]byte(nil), data[n:]...)
	if w.write(clean(string(data[:n]), false)); w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// Flush writes what is held back, and returns the first error of all writes.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flush()
}

func (w *Writer) flush() error {
	tail := w.tail
	w.tail = nil
	if len(tail) > 0 && w.err == nil {
		w.write(clean(string(tail), false))
	}
	return w.err
}

func (w *Writer) write(s string) {
	if s != "" {
		_, w.err = io.WriteString(w.w, s)
	}
}

// raw writes unchanged bytes and keeps the error too.
type raw struct{ safe *Writer }

func (r raw) Write(p []byte) (n int, err error) {
	r.safe.mu.Lock()
	defer r.safe.mu.Unlock()
	if err := r.safe.flush(); err != nil {
		return 0, err
	}
	n, r.safe.err = r.safe.w.Write(p)
	return n, r.safe.err
}

// Raw returns a writer to what w writes to that changes nothing: for JSON, for
// formats that programs read and for what the program itself says to a terminal.
func Raw(w io.Writer) io.Writer {
	if safe, ok := w.(*Writer); ok {
		return raw{safe}
	}
	return w
}

// Text returns s as a Writer writes it, for what goes to a Raw one.
func Text(s string) string { return clean(s, false) }

// Line returns s for one line and one column of a table: without line breaks and
// tabs, too.
func Line(s string) string { return clean(s, true) }

// Error returns the message of an error on one line, or on one for each of the
// errors that errors.Join made it of.
func Error(err error) string {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || strings.Count(err.Error(), "\n") < len(joined.Unwrap())-1 {
		return Line(err.Error())
	}
	var lines []string
	for _, e := range joined.Unwrap() {
		lines = append(lines, Error(e))
	}
	return strings.Join(lines, "\n")
}

// JSON returns JSON with escapes in place of the characters that it may hold as
// they are and a terminal would obey. It means the same.
func JSON(data []byte) []byte {
	var b []byte
	for _, r := range string(data) {
		if shown(r, false) == r || r < 0x20 { // in JSON those stand between values only
			b = utf8.AppendRune(b, r)
		} else {
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return b
}

// whole returns the length of data without the beginning of a character, or of a
// line break of two, at its end.
func whole(data []byte) int {
	if n := len(data); n > 0 && data[n-1] == '\r' {
		return n - 1
	}
	for i := len(data) - 1; i >= max(0, len(data)-utf8.UTFMax+1); i-- {
		if utf8.RuneStart(data[i]) {
			if !utf8.FullRune(data[i:]) {
				return i
			}
			break
		}
	}
	return len(data)
}

// clean replaces what steers a terminal. A line break of Windows is one of Unix.
func clean(s string, line bool) string {
	at := strings.IndexFunc(s, func(r rune) bool { return shown(r, line) != r })
	if !utf8.ValidString(s) {
		at = 0
	}
	if at < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:at])
	for i, r := range s[at:] {
		if r == '\r' && !line && strings.HasPrefix(s[at+i:], "\r\n") {
			continue
		}
		b.WriteRune(shown(r, line))
	}
	return b.String()
}

// shown returns the character that stands for r.
func shown(r rune, line bool) rune {
	switch {
	case (r == '\n' || r == '\t') && !line:
		return r
	case r < 0x20:
		return 0x2400 + r // the pictures ␀ to ␟
	case r == 0x7f:
		return '␡'
	case 0x80 <= r && r < 0xa0: // C1: U+009B is as good as ESC [
		return utf8.RuneError
	case 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069: // overrides of direction
		return utf8.RuneError
	case line && (r == 0x2028 || r == 0x2029):
		return utf8.RuneError
	}
	return r
}
