package ralm_test

import (
	"context"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/retrieve"
)

// page is a retriever whose passages are those of one document, in order.
type page struct {
	shelf
	passages []retrieve.Passage
}

func (p *page) Neighbour(_ context.Context, q retrieve.Passage, step int) (retrieve.Passage, bool, error) {
	at := slices.IndexFunc(p.passages, func(o retrieve.Passage) bool { return o.ID == q.ID }) + step
	if at < 0 || at >= len(p.passages) {
		return retrieve.Passage{}, false, nil
	}
	return p.passages[at], true, nil
}

// Passages are joined with what stands around them in their section while they fit;
// nothing is read twice.
func TestJoin(t *testing.T) {
	text := "One two. Three four. Five six. Seven."
	part := func(id string, from, to int, heading string) retrieve.Passage {
		return retrieve.Passage{ID: id, Text: text[from:to], Offset: int64(from), Heading: heading, Line: from}
	}
	a, b, c, d := part("a", 0, 8, "S"), part("b", 9, 20, "S"), part("c", 15, 30, "S > T"), part("d", 31, 37, "U")
	scored := func(p retrieve.Passage, score float64) retrieve.Passage { p.Score = score; return p }
	for _, test := range []struct {
		what  string
		found []retrieve.Passage
		limit int
		want  []string
		ids   []string
	}{
		{"room for nothing more", []retrieve.Passage{b}, 11, []string{"Three four."}, []string{"b"}},
		{"behind first, overlap once", []retrieve.Passage{b}, 21, []string{"Three four. Five six."}, []string{"b"}},
		{"then before", []retrieve.Passage{b}, 30, []string{"One two.\nThree four. Five six."}, []string{"b"}},
		{"no other section", []retrieve.Passage{d}, 100, []string{"Seven."}, []string{"d"}},
		{"not the section around", []retrieve.Passage{c}, 100, []string{"four. Five six."}, []string{"c"}},
		{"found twice, read once", []retrieve.Passage{a, d, b}, 40, []string{"One two.\nThree four. Five six.", "Seven."}, []string{"a", "d"}},
		{"longer than there is room", []retrieve.Passage{b}, 5, []string{"Three four."}, []string{"b"}},
	} {
		s, r := newScript("x"), &page{passages: []retrieve.Passage{a, b, c, d}}
		for i, p := range test.found {
			r.shelf.passages = append(r.shelf.passages, scored(p, float64(9-i)))
		}
		o := ralm.Defaults()
		o.K, o.MaxTokens, o.PassageLen, o.Join = len(test.found), 1, test.limit, true
		var texts, ids []string
		for e, err := range ralm.New(s, bytes{}, r).Generate(context.Background(), bytes{}.Encode("text"), o) {
			if err != nil {
				t.Fatal(err)
			}
			if st, ok := e.(ralm.Stride); ok {
				for _, p := range st.Passages {
					texts, ids = append(texts, p.Text), append(ids, p.ID)
					if p.Score < 7 || text[p.Line:p.Line+3] != p.Text[:3] {
						t.Errorf("%s: %q has the score %v and line %d", test.what, p.Text, p.Score, p.Line)
					}
				}
			}
		}
		if !slices.Equal(texts, test.want) || !slices.Equal(ids, test.ids) {
			t.Errorf("%s: %q %q, want %q %q", test.what, texts, ids, test.want, test.ids)
		}
	}
}
