package corpus

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// letters counts a token for every two bytes of a word, as a small byte-level
// vocabulary would.
type letters struct{}

func (letters) Encode(text string) []int32 {
	n := 0
	for w := range strings.FieldsSeq(text) {
		n += (len(w) + 1) / 2
	}
	return make([]int32, n)
}

func split(t *testing.T, spec string, overlap int, doc Document) []retrieve.Passage {
	t.Helper()
	chunking, err := ParseChunking(spec, overlap)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewChunker(chunking, letters{})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(c.Split(doc))
}

func texts(passages []retrieve.Passage) []string {
	var out []string
	for _, p := range passages {
		out = append(out, p.Text)
	}
	return out
}

func TestSplit(t *testing.T) {
	for _, tc := range []struct {
		name, spec string
		overlap    int
		text       string
		want       []string
	}{
		{"whole", "none", 0, "  one two \n", []string{"one two"}},
		{"empty", "none", 0, " \n", nil},
		{"words", "words:3", 0, "a b  c\nd e", []string{"a b  c", "d e"}},
		{"words exactly", "words:2", 0, "a b c d", []string{"a b", "c d"}},
		{"words overlap", "words:3", 1, "a b c d e", []string{"a b c", "c d e"}},
		{"sentences", "tokens:6", 0, "aa bb cc. Dd ee ff gg. Hh.", []string{"aa bb cc.", "Dd ee ff gg.", "Hh."}},
		{"sentences together", "tokens:7", 0, "aa bb cc. Dd ee. Hh.", []string{"aa bb cc. Dd ee.", "Hh."}},
		{"overlap", "tokens:6", 2, "aa bb cc. Dd. Ee ff gg.", []string{"aa bb cc. Dd.", "Dd. Ee ff gg."}},
		{"abbreviation", "tokens:4", 0, "aa e.g. bb. Cc dd.", []string{"aa e.g.", "bb.", "Cc dd."}},
		{"heading opens", "tokens:10", 0, "aa bb cc dd ee ff.\n# Hh\nxx yy.", []string{"aa bb cc dd ee ff.", "# Hh\nxx yy."}},
		{"heading never ends", "tokens:8", 0, "aa bb.\n# Hh\nxx yy zz vv ww.", []string{"aa bb.", "# Hh\nxx yy zz vv ww."}},
		{"long sentence", "tokens:3", 0, "aa bb cc dd ee", []string{"aa bb cc", "dd ee"}},
		{"long word", "tokens:3", 0, "abcdefgh ij", []string{"abc", "defgh", "ij"}},
		{"wide characters", "tokens:1", 0, "世界", []string{"世", "界"}},
		{"full-width stops", "tokens:6", 0, "世界。世界。", []string{"世界。", "世界。"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := split(t, tc.spec, tc.overlap, Document{ID: "d", Text: tc.text})
			if !slices.Equal(texts(got), tc.want) {
				t.Errorf("got %q, want %q", texts(got), tc.want)
			}
			for i, p := range got {
				if p.Text != tc.text[p.Offset:int(p.Offset)+len(p.Text)] || p.First != (i == 0) {
					t.Errorf("passage %d has offset %d, first %v", i, p.Offset, p.First)
				}
				if tc.spec != "none" && p.ID != fmt.Sprintf("d#%d", p.Offset) {
					t.Errorf("passage %d has id %q", i, p.ID)
				}
			}
		})
	}
}

// TestSplitTokensBounds checks on random-looking text that no passage is longer
// than asked for, that together they hold every word, and that the title gets
// its room.
func TestSplitTokensBounds(t *testing.T) {
	var b strings.Builder
	for i := range 4000 {
		b.WriteString(strings.Repeat("x", i*i%23+1))
		b.WriteString([]string{" ", ", ", ". X", "\n\n", "\n# H ", " "}[i*7%6])
	}
	doc := Document{ID: "d", Title: "A title", Text: b.String()}
	for _, overlap := range []int{0, 8, 31} {
		passages := split(t, "tokens:32", overlap, doc)
		end := 0
		for i, p := range passages {
			limit := 32
			if i == 0 {
				limit -= len(letters{}.Encode(doc.Title))
			}
			if n := len(letters{}.Encode(p.Text)); n > limit {
				t.Errorf("overlap %d: passage %d has %d tokens, more than %d", overlap, i, n, limit)
			}
			if int(p.Offset) > end && strings.TrimSpace(doc.Text[end:p.Offset]) != "" {
				t.Errorf("overlap %d: %q is in no passage", overlap, doc.Text[end:p.Offset])
			}
			end = int(p.Offset) + len(p.Text)
		}
		if strings.TrimSpace(doc.Text[end:]) != "" {
			t.Errorf("overlap %d: the end is in no passage", overlap)
		}
	}
}

func TestParseChunking(t *testing.T) {
	for _, s := range []string{"none", "words:100", "tokens:128"} {
		if c, err := ParseChunking(s, 0); err != nil || c.String() != s {
			t.Errorf("%q: %v, %v", s, c, err)
		}
	}
	for _, s := range []string{"", "words", "words:", "words:0", "words:-1", "words:x", "lines:3", "tokens:1e3"} {
		if _, err := ParseChunking(s, 0); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
	if _, err := ParseChunking("words:10", 10); err == nil {
		t.Error("an overlap as long as the passage was accepted")
	}
}

// TestWords compares with strings.FieldsFunc, blanks and marks at every place in
// the eight bytes that are looked at together.
func TestWords(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	parts := []string{"a", "zz", "~", "!", " ", "\n", "\t", "\x00", "\x1f", "\x7f", "é", "\u00a0", "\u2003", "日", "\u0085"}
	for range 5000 {
		var b strings.Builder
		for range rng.IntN(30) {
			b.WriteString(parts[rng.IntN(len(parts))])
		}
		text := b.String()
		var got []string
		for start, end := range words(text) {
			got = append(got, text[start:end])
		}
		if want := strings.FieldsFunc(text, unicode.IsSpace); !slices.Equal(got, want) {
			t.Fatalf("%+q: got %+q, want %+q", text, got, want)
		}
	}
}
