package snippet

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// find returns where words stand in a text.
func find(text string, words ...string) (hits []Span) {
	for i := range text {
		for _, w := range words {
			if strings.HasPrefix(strings.ToLower(text[i:]), w) {
				hits = append(hits, Span{i, i + len(w)})
			}
		}
	}
	return hits
}

func TestAround(t *testing.T) {
	prose := "The gardener waters the roses at six. The keys of the north tower hang behind the clock. Bread is baked on Mondays, and nobody knows why. The carp are fed at noon."
	code := "func main() {\n\tf, err := os.Open(name)\n\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n\tdefer f.Close()\n\n\tscanner := bufio.NewScanner(f)\n\tfor scanner.Scan() {\n\t\tfmt.Println(scanner.Text())\n\t}\n}\n"
	table := "model | power\nAlpha | 100 W\nBeta | 250 W\nGamma | 400 W\nDelta | 500 W\n"
	for _, c := range []struct {
		text  string
		words []string
		size  int
		want  string
	}{
		{"short\n", []string{"short"}, 100, "short"},
		{"\n\n  indented\n  twice\n\n", nil, 100, "  indented\n  twice"},
		{prose, []string{"keys", "clock"}, 60, "The keys of the north tower hang behind the clock."},
		{prose, []string{"carp"}, 50, "The carp are fed at noon."},
		{prose, nil, 60, "The gardener waters the roses at six."},
		{code, []string{"scanner", "text"}, 70, "\tscanner := bufio.NewScanner(f)\n\tfor scanner.Scan() {\n\t\tfmt.Println(scanner.Text())"},
		{table, []string{"beta"}, 30, "Beta | 250 W\nGamma | 400 W"},
		{strings.Repeat("x", 100) + "é", []string{"x"}, 20, strings.Repeat("x", 20)},
		{strings.Repeat("é", 100), nil, 21, strings.Repeat("é", 10)},
		{"one two three four five six", []string{"four"}, 12, "four five"},
	} {
		s := Around(c.text, find(c.text, c.words...), c.size)
		if got := c.text[s.Start:s.End]; got != c.want {
			t.Errorf("%q of size %d: %q, want %q", c.words, c.size, got, c.want)
		}
	}
}

func FuzzAround(f *testing.F) {
	f.Add("The keys of the north tower.\nHang behind the clock. \n\n é é é", "e", 10)
	f.Add(strings.Repeat("word é\n", 40), "word", 33)
	f.Fuzz(func(t *testing.T, text, word string, size int) {
		if word == "" || !utf8.ValidString(text) || !utf8.ValidString(word) {
			return
		}
		var hits []Span
		for at := 0; ; {
			i := strings.Index(text[at:], word)
			if i < 0 {
				break
			}
			hits = append(hits, Span{at + i, at + i + len(word)})
			at += i + len(word)
		}
		size = min(max(size, 1), 1000)
		s := Around(text, hits, size)
		if s.Start < 0 || s.End < s.Start || s.End > len(text) || !utf8.ValidString(text[s.Start:s.End]) {
			t.Fatalf("%d to %d of %q", s.Start, s.End, text)
		}
		if s.End-s.Start > size+2*(size/3)+len(word)+utf8.UTFMax {
			t.Errorf("%d bytes, asked for %d: %q", s.End-s.Start, size, text[s.Start:s.End])
		}
		if len(hits) > 0 && strings.TrimSpace(word) == word && !strings.Contains(text[s.Start:s.End], word) {
			t.Errorf("no %q in %q", word, text[s.Start:s.End])
		}
	})
}
