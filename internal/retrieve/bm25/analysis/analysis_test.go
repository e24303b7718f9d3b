package analysis

import (
	"bufio"
	"compress/gzip"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

func terms(t testing.TB, name, text string) []string {
	t.Helper()
	a, err := New(name)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	a.Reset(text)
	for term, ok := a.Next(); ok; term, ok = a.Next() {
		out = append(out, string(term))
	}
	return out
}

// TestLucene compares with what Lucene 9.12.3's EnglishAnalyzer makes of 5,000
// words and of odd tokens (tools/lucene/fixtures.sh).
func TestLucene(t *testing.T) {
	f, err := os.Open("testdata/english.tsv.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(z)
	n := 0
	for ; s.Scan(); n++ {
		text, want, _ := strings.Cut(s.Text(), "\t")
		if got := strings.Join(terms(t, English, text), " "); got != want {
			t.Errorf("%q: %q, Lucene %q", text, got, want)
		}
	}
	if s.Err() != nil || n < 5000 {
		t.Fatalf("%d lines, %v", n, s.Err())
	}
}

func TestUnicode(t *testing.T) {
	got := strings.Join(terms(t, Unicode, "Die Häuser des Königs' und THE dogs"), "|")
	if want := "die|häuser|des|königs|und|the|dogs"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMark(t *testing.T) {
	got, err := Mark(English, "running dog's", "The dogs run; a dog ran.", "[", "]")
	if want := "The [dogs] [run]; a [dog] ran."; got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestNewUnknown(t *testing.T) {
	if _, err := New("klingon"); err == nil {
		t.Error("an unknown analyser was accepted")
	}
}

// FuzzTokenizer checks that tokens are in order, not empty and not too long.
func FuzzTokenizer(f *testing.F) {
	for _, s := range []string{"a b", "1️⃣ #⃣", "א\"ב'", strings.Repeat("é", 300), "\u200d🏽\u200d👍", "\xff\xfe", "ก_1.2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var tok Tokenizer
		tok.Reset(text)
		last := 0
		for start, end, ok := tok.Next(); ok; start, end, ok = tok.Next() {
			if start < last || end <= start || end > len(text) || utf8.RuneCountInString(text[start:end]) > maxToken {
				t.Fatalf("token %d to %d after %d", start, end, last)
			}
			last = end
		}
	})
}
