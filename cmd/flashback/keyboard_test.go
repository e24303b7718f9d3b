package main

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// Keys mean the same however they arrive in pieces, and no text is lost.
func TestKeyboard(t *testing.T) {
	long := strings.Repeat("ü", editorLimit/2) // bytes
	for typed, want := range map[string]string{
		"plain\r":                                 "plain\r",
		"\x1b[D\x1bOHx\x1b[1;3C\x7f\x03\r":        "\x1b[D\x1bOHx\x1b[1;3C\x7f\x03\r",
		"a\x1b[200~b\r\nc\rd\n\x1b[Ae\x1b[201~\r": "a" + pasteStart + "b␤c␤d␤\x1b[Ae" + pasteEnd + "\r",
		long + "end\rx":                           long + "end\rx",
	} {
		for _, in := range []io.Reader{strings.NewReader(typed), iotest.OneByteReader(strings.NewReader(typed)), iotest.HalfReader(strings.NewReader(typed))} {
			got, err := io.ReadAll(&keyboard{in: in})
			text := string(got)
			if strings.HasPrefix(typed, long) { // its end is pasted, in pieces of any length
				text = strings.NewReplacer(pasteStart, "", pasteEnd, "").Replace(text)
				if !strings.HasPrefix(string(got), long+pasteStart) || !strings.HasSuffix(string(got), pasteEnd+"\rx") {
					t.Errorf("what is typed beyond the limit is no paste: …%q", got[len(got)-30:])
				}
			}
			if err != nil || text != want {
				t.Errorf("%q is %q, %v; want %q", typed, text, err, want)
			}
		}
	}
}

// What is typed is never lost, and nothing panics.
func FuzzKeyboard(f *testing.F) {
	for _, s := range []string{"a\r", "\x1b[200~a\r\nb\x1b[201~\r", "\x1b[20", "\xc3", "\x1b[D", pasteEnd + pasteStart} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, typed string, bytewise bool) {
		var in io.Reader = strings.NewReader(typed)
		if bytewise {
			in = iotest.OneByteReader(in)
		}
		k := &keyboard{in: in}
		got, err := io.ReadAll(k)
		if err != nil {
			t.Fatal(err)
		}
		strip := func(s string) string {
			return strings.NewReplacer(pasteStart, "", pasteEnd, "", pastedBreak, "", "\r", "", "\n", "").Replace(s)
		}
		if a, b := strip(string(got)+string(k.held)), strip(typed); a != b {
			t.Errorf("%q became %q, %q is held", typed, got, k.held)
		}
	})
}
