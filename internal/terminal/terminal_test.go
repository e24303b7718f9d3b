package terminal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

var texts = []struct{ text, shown, line string }{
	{"plain\ttext\n", "plain\ttext\n", "plain␉text␊"},
	{"é漢字 🚲 \u200d\u061c", "é漢字 🚲 \u200d\u061c", "é漢字 🚲 \u200d\u061c"},
	{"\x1b]0;title\a\x1b[2J", "␛]0;title␇␛[2J", "␛]0;title␇␛[2J"},
	{"\x1b]52;c;ZXZpbA==\x1b\\", "␛]52;c;ZXZpbA==␛\\", "␛]52;c;ZXZpbA==␛\\"},
	{"a\x00b\x7f", "a␀b␡", "a␀b␡"},
	{"one\r\ntwo\rthree\r", "one\ntwo␍three␍", "one␍␊two␍three␍"},
	{"C1 \u009b31m \u0085", "C1 \ufffd31m \ufffd", "C1 \ufffd31m \ufffd"},
	{"byte \x9b31m\xff", "byte \ufffd31m\ufffd", "byte \ufffd31m\ufffd"},
	{"\u202edrow\u202c \u2066x\u2069", "\ufffddrow\ufffd \ufffdx\ufffd", "\ufffddrow\ufffd \ufffdx\ufffd"},
	{"a\u2028b", "a\u2028b", "a\ufffdb"},
	{"", "", ""},
}

// TestWriter writes each text whole and byte by byte: the result is the same.
func TestWriter(t *testing.T) {
	for _, c := range texts {
		for _, size := range []int{1, 2, 3, len(c.text) + 1} {
			var b strings.Builder
			w := NewWriter(&b)
			for at := 0; at < len(c.text); at += size {
				p := c.text[at:min(at+size, len(c.text))]
				if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
					t.Fatalf("%d, %v", n, err)
				}
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			if b.String() != c.shown {
				t.Errorf("%q in pieces of %d: %q, want %q", c.text, size, b.String(), c.shown)
			}
		}
		if got := Line(c.text); got != c.line {
			t.Errorf("Line(%q) is %q, want %q", c.text, got, c.line)
		}
	}
}

func TestRaw(t *testing.T) {
	var b strings.Builder
	w := NewWriter(&b)
	io.WriteString(w, "a\x1b\xc3")
	io.WriteString(Raw(w), "\x1b[1m")
	io.WriteString(w, "\x1b")
	if b.String() != "a␛\ufffd\x1b[1m␛" {
		t.Errorf("%q", b.String())
	}
	if plain := io.Writer(&b); Raw(plain) != plain {
		t.Error("Raw changes a plain writer")
	}
}

// full fails after some bytes, as a full disk does.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

var errFull = errors.New("full")

func TestErrors(t *testing.T) {
	for _, writer := range []func(w *Writer) io.Writer{func(w *Writer) io.Writer { return w }, func(w *Writer) io.Writer { return Raw(w) }} {
		disk := &full{4}
		w := NewWriter(disk)
		out := writer(w)
		fmt.Fprint(out, "text")
		if err := w.Flush(); err != nil {
			t.Error(err)
		}
		fmt.Fprint(out, "more")
		disk.room = 100
		fmt.Fprint(out, "and more")
		if err := w.Flush(); err != errFull || disk.room != 100 {
			t.Errorf("error %v, room %d: want the first error kept, and no writes behind it", err, disk.room)
		}
	}
}

func TestError(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("a\nb\x1b"), "a␊b␛"},
		{errors.Join(errors.New("a\n"), errors.New("b")), "a␊\nb"},
		{fmt.Errorf("%w and %w", errors.New("a"), errors.New("b")), "a and b"},
	} {
		if got := Error(c.err); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestJSON(t *testing.T) {
	for _, c := range texts {
		want, err := json.Marshal(c.text)
		if err != nil {
			t.Fatal(err)
		}
		var back, text string
		got := JSON(append(want, '\n'))
		if err := errors.Join(json.Unmarshal(got, &back), json.Unmarshal(want, &text)); err != nil || back != text {
			t.Errorf("%s became %s, %v", want, got, err)
		}
		if clean(string(got), false) != string(got) {
			t.Errorf("%q", got)
		}
	}
}

func FuzzWriter(f *testing.F) {
	for _, c := range texts {
		f.Add([]byte(c.text), 1)
	}
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		var b strings.Builder
		w := NewWriter(&b)
		cut = min(max(cut, 0), len(text))
		w.Write(text[:cut])
		w.Write(text[cut:])
		w.Flush()
		if got := b.String(); !utf8.ValidString(got) || clean(got, false) != got {
			t.Errorf("%q", got)
		}
		if line := Line(string(text)); strings.ContainsAny(line, "\x1b\n\r\t\u009b\u202e") {
			t.Errorf("%q", line)
		}
	})
}
