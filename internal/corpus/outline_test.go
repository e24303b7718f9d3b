package corpus

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// where lists each passage's heading, page and line.
func where(passages []retrieve.Passage) []string {
	var out []string
	for _, p := range passages {
		out = append(out, fmt.Sprintf("%s|%d|%d", p.Heading, p.Page, p.Line))
	}
	return out
}

func TestOutline(t *testing.T) {
	manual := "# Manual\n\nIntro text.\n\n## Alpha ##\n\nAbout alpha.\n\n### Power\n\nHundred.\n\n```sh\n# no heading\nrun\n```\n\n## Beta\n\n### Power\n\nTwo hundred and fifty.\n"
	for _, tc := range []struct {
		name, spec string
		doc        Document
		want       []string
	}{
		{"lines of #", "tokens:12", Document{Title: "Manual", Text: manual, Places: []Place{{Line: 1}}},
			[]string{"|0|1", "|0|3", "Alpha|0|5", "Alpha > Power|0|9", "Alpha > Power|0|14", "Beta > Power|0|18", "Beta > Power|0|20", "Beta > Power|0|22"}},
		{"another title", "tokens:1000", Document{Title: "x", Text: manual}, []string{"Manual|0|0"}},
		{"comments", "words:3", Document{Title: "x.py", Text: "# a comment\nx = 1\n# more\ny = 2", Places: []Place{{Headings: []string{}, Line: 1}}},
			[]string{"|0|1", "|0|2", "|0|3", "|0|4"}},
		{"pages", "words:2", Document{Text: "a b c d e f", Places: []Place{{Offset: 0, Page: 1}, {Offset: 4, Page: 2}, {Offset: 8, Page: 3}}},
			[]string{"|1|0", "|2|0", "|3|0"}},
		{"given headings", "words:1", Document{Title: "T", Text: "a b c", Places: []Place{{Headings: []string{"T", "One"}}, {Offset: 2, Headings: []string{"Two"}}}},
			[]string{"One|0|0", "Two|0|0", "Two|0|0"}},
		{"lines behind front matter", "words:1", Document{Text: "a\n\nb\nc", Places: []Place{{Line: 4}}}, []string{"|0|4", "|0|6", "|0|7"}},
		{"places in disorder", "words:1", Document{Text: "a b", Places: []Place{{Offset: 9, Page: 3}, {Offset: 2, Page: 2}, {Offset: 1, Page: 1}, {Offset: -1}}},
			[]string{"|0|0", "|0|0"}},
		{"a long heading", "tokens:10", Document{Text: "# " + strings.Repeat("é", 1000) + "\n\nfoo"},
			[]string{strings.Repeat("é", 40) + "…|0|0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := where(split(t, tc.spec, 0, tc.doc))
			if tc.name == "a long heading" {
				got = got[len(got)-1:] // its pieces come before
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

// TestBreadcrumbRoom checks that no passage with what the model reads before it is
// longer than asked for, unless the breadcrumb takes more than half.
func TestBreadcrumbRoom(t *testing.T) {
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, "%s Section number %d\n\n%s\n\n", strings.Repeat("#", 1+i%4), i, strings.Repeat("Some words stand here. ", 1+i*7%9))
	}
	doc := Document{ID: "d", Title: "A book of sections", Text: b.String()}
	for _, size := range []int{32, 40, 64, 128} {
		c, err := NewChunker(Chunking{Unit: Tokens, Size: size, Overlap: 8, Breadcrumb: true}, letters{})
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for p := range c.Split(doc) {
			p.Breadcrumb = true
			head := len(letters{}.Encode(retrieve.Breadcrumb(p.Title, p.Heading)))
			if n := len(letters{}.Encode(p.Evidence())); n > size && head <= size/2 {
				t.Errorf("size %d: %d tokens of evidence: %q", size, n, p.Evidence())
			}
			if int(p.Offset) > seen && strings.TrimSpace(doc.Text[seen:p.Offset]) != "" {
				t.Errorf("size %d: lost %q", size, doc.Text[seen:p.Offset])
			}
			seen = max(seen, int(p.Offset)+len(p.Text))
		}
		if strings.TrimSpace(doc.Text[seen:]) != "" {
			t.Errorf("size %d: lost %q", size, doc.Text[seen:])
		}
	}
}
