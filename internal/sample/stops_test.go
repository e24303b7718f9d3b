package sample

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestStops(t *testing.T) {
	for _, c := range []struct {
		name    string
		stops   []string
		pieces  []string
		want    []string // after each piece
		stopped bool     // at the last piece
		flush   string
	}{
		{"none", nil, []string{"a", "b"}, []string{"a", "b"}, false, ""},
		{"whole", []string{"END"}, []string{"ab", "END"}, []string{"ab", ""}, true, ""},
		{"in pieces", []string{"END"}, []string{"aE", "N", "Dx"}, []string{"a", "", ""}, true, ""},
		{"false start", []string{"END"}, []string{"aEN", "E", "x"}, []string{"a", "EN", "Ex"}, false, ""},
		{"held at the end", []string{"END"}, []string{"aEN"}, []string{"a"}, false, "EN"},
		{"the first in the text ends it", []string{"c", "ab"}, []string{"xabc"}, []string{"x"}, true, ""},
		{"overlap", []string{"aab"}, []string{"a", "a", "a", "b"}, []string{"", "", "a", ""}, true, ""},
		{"empty strings are ignored", []string{""}, []string{"a"}, []string{"a"}, false, ""},
		{"half a character", nil, []string{"\xe2", "\x82", "\xac!"}, []string{"", "", "€!"}, false, ""},
		{"a stop of half characters", []string{"€"}, []string{"a\xe2\x82", "\xac"}, []string{"a", ""}, true, ""},
		{"never a character", nil, []string{"\xff", "a\x82"}, []string{"�", "a�"}, false, ""},
		{"ends within a character", nil, []string{"a\xe2\x82"}, []string{"a"}, false, ""},
		{"a false start and within a character", []string{"bad"}, []string{"ab", "\xf0\x9f"}, []string{"a", "b"}, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewStops(c.stops...)
			var got []string
			var stopped bool
			for _, p := range c.pieces {
				var text string
				text, stopped = s.Write(p)
				got = append(got, text)
			}
			if !slices.Equal(got, c.want) || stopped != c.stopped {
				t.Errorf("%q, stopped %v; want %q, %v", got, stopped, c.want, c.stopped)
			}
			if flush := s.Flush(); flush != c.flush {
				t.Errorf("flushed %q, want %q", flush, c.flush)
			}
		})
	}
}

// FuzzStops holds the stream, in pieces of any size, to one search in the whole
// text.
func FuzzStops(f *testing.F) {
	f.Add("some text END more", "END", 2)
	f.Add("€uro\xff\xe2\x82", "uro", 1)
	f.Add("aaab", "aab", 1)
	f.Fuzz(func(t *testing.T, text, stop string, size int) {
		if !utf8.ValidString(stop) {
			t.Skip("stop strings are text")
		}
		want, _, found := strings.Cut(text, stop)
		if stop == "" {
			want, found = text, false
		}
		s := NewStops(stop)
		var got strings.Builder
		stopped := false
		for rest := text; rest != "" && !stopped; {
			n := min(max(size, 1), len(rest))
			var out string
			out, stopped = s.Write(rest[:n])
			got.WriteString(out)
			rest = rest[n:]
		}
		if !found {
			want = want[:len(want)-Begun(want)]
		}
		got.WriteString(s.Flush())
		if got.String() != string([]rune(want)) || stopped != found {
			t.Errorf("%q (stopped %v), want %q (%v)", got.String(), stopped, want, found)
		}
	})
}
