package charset

import (
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func wide(s string, width int, big bool) []byte {
	var out []byte
	for _, r := range s {
		unit := make([]byte, width)
		for i := range width {
			at := i
			if big {
				at = width - 1 - i
			}
			unit[at] = byte(r >> (8 * i))
		}
		out = append(out, unit...)
	}
	return out
}

func TestDecode(t *testing.T) {
	const meeting = "Meeting place is behind the lighthouse.\r\nTwo."
	const tidied = "Meeting place is behind the lighthouse.\nTwo."
	log := strings.Repeat("line one ok\n", 700)
	for _, tc := range []struct {
		name, label string
		data        string
		want        string
		encoding    string
		lost        string
	}{
		{"utf-8", "", "naïve\rx", "naïve\nx", "", ""},
		{"empty", "", "", "", "", ""},
		{"utf-8 mark", "", "\xef\xbb\xbfone", "one", "", ""},
		{"utf-16le mark", "", "\xff\xfeh\x00\xe9\x00", "hé", "", ""},
		{"utf-32be mark", "", "\x00\x00\xfe\xff\x00\x00\x00h", "h", "", ""},
		{"utf-16le", "", string(wide(meeting, 2, false)), tidied, "utf-16le", ""},
		{"utf-16be", "", string(wide(meeting, 2, true)), tidied, "utf-16be", ""},
		{"utf-32le", "", string(wide(meeting, 4, false)), tidied, "utf-32le", ""},
		{"utf-32be", "", string(wide(meeting, 4, true)), tidied, "utf-32be", ""},
		{"utf-16le Chinese", "", string(wide("钥匙放在厨房的抽屉里。\n北京 2024", 2, false)), "钥匙放在厨房的抽屉里。\n北京 2024", "utf-16le", ""},
		{"iso-2022-jp", "", "\x1b$B80\x1b(B\n", "鍵\n", "iso-2022-jp", ""},
		{"NULs of a crash", "", log + strings.Repeat("\x00", 5000) + "after\n", log + " after\n", "", ""},
		{"a few NULs", "", "line one\n\x00\x00after crash padding\n", "line one\n after crash padding\n", "", ""},
		{"cut character", "", "Zürich, K\xc3", "Zürich, K\ufffd", "", "line 1 holds bytes that are not utf-8; they became U+FFFD"},
		{"damaged", "", "Zürich\nKöln, Mün\xffchen\nK\xff", "Zürich\nKöln, Mün\ufffdchen\nK\ufffd", "", "2 places hold bytes that are not utf-8, the first in line 2; they became U+FFFD"},
		{"asked for", "koi8-r", "\xeb\xcc\xc0\xde", "Ключ", "", ""},
		{"asked for in vain", "euc-jp", "a\nK\xc3", "a\nK\ufffd", "", "line 2 holds bytes that are not euc-jp; they became U+FFFD"},
		{"asked for but marked", "koi8-r", "\xef\xbb\xbfKlíč", "Klíč", "", ""},
		{"DOS", "cp850", "K\x81che", "Küche", "", ""},
	} {
		got, err := Decode([]byte(tc.data), tc.label)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		lost := ""
		if err := got.Lost.Err(); err != nil {
			lost = err.Error()
		}
		if got.String != tc.want || got.Encoding != tc.encoding || lost != tc.lost {
			t.Errorf("%s: got %.80q, %s, lost %q", tc.name, got.String, got.Encoding, lost)
		}
	}
	for _, data := range []string{"\x00\x01", "\x00\x00\x00", "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x3e", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x01\xf4"} {
		if got, err := Decode([]byte(data), ""); err != ErrBinary {
			t.Errorf("%q: %q, %v", data, got.String, err)
		}
	}
	if _, err := Decode(nil, "utf-9"); err == nil || !strings.Contains(err.Error(), `"utf-9" is not known`) {
		t.Errorf("an unknown encoding: %v", err)
	}
}

func readLines(t testing.TB, data, label string) (string, *Lines) {
	l, err := NewLines(strings.NewReader(data), label)
	if err == ErrBinary {
		return "", &Lines{}
	}
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for {
		line, err := l.Next()
		b.Write(line)
		if err == io.EOF {
			return b.String(), l
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestLines(t *testing.T) {
	plain := strings.Repeat("plain\n", 50000)
	for _, tc := range []struct {
		name, label, data, want, encoding string
		places, line                      int
	}{
		{"utf-8", "", "a\nbé", "a\nbé", "", 0, 0},
		{"utf-16", "", "\xfe\xff\x00a\x00\n\x00\xe9", "a\né", "", 0, 0},
		{"utf-16 without mark", "", string(wide("first line\nsecond\n", 2, false)), "first line\nsecond\n", "utf-16le", 0, 0},
		{"far down", "", plain + "caf\xe9 cr\xe8me\n", plain + "café crème\n", "windows-1252", 0, 0},
		{"some lines are UTF-8", "", "café\nplain\ncaf\xe9 cr\xe8me d\xe9j\xe0\n", "café\nplain\ncafé crème déjà\n", "windows-1252", 0, 0},
		{"damaged", "", "café\xff déjà\n", "café\ufffd déjà\n", "", 1, 1},
		{"asked for", "shift_jis", "\x8c\xae\n\x81", "鍵\n\ufffd", "", 1, 2},
		{"NULs", "", "a line\nb\x00\x00\n", "a line\nb \n", "", 0, 0},
	} {
		got, l := readLines(t, tc.data, tc.label)
		if got != tc.want || l.Encoding != tc.encoding || l.Lost.Places != tc.places || l.Lost.Line != tc.line {
			t.Errorf("%s: got %q, %s, %+v", tc.name, got[max(0, len(got)-60):], l.Encoding, l.Lost)
		}
	}
	if _, err := NewLines(strings.NewReader("a"), "no such"); err == nil {
		t.Error("an unknown encoding is taken")
	}
}

func FuzzDecode(f *testing.F) {
	for _, tc := range shortTexts {
		e, err := Lookup(tc.enc)
		if err != nil {
			f.Fatal(err)
		}
		data, err := e.NewEncoder().Bytes([]byte(tc.text))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(wide("sixteen bits\n", 2, false))
	f.Add(wide("all of them\n", 4, true))
	f.Add([]byte("\xff\xfe\x00\x00\x00\xd8"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := Decode(data, "")
		if err == nil && (!utf8.ValidString(text.String) || strings.ContainsAny(text.String, "\r\x00")) {
			t.Errorf("%q", text.String)
		}
		if text.Lost.Places == 0 && strings.Contains(text.String, "\ufffd") && !strings.Contains(string(data), "\ufffd") {
			t.Errorf("lost in silence: %q", text.String)
		}
		if got, _ := readLines(t, string(data), ""); !utf8.ValidString(got) {
			t.Errorf("%q", got)
		}
	})
}
