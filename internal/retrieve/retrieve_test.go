package retrieve

import "testing"

func TestEvidence(t *testing.T) {
	for _, c := range []struct {
		p    Passage
		want string
	}{
		{Passage{Title: "T", Heading: "H", Text: "x", First: true}, "T\nx"},
		{Passage{Title: "T", Heading: "H", Text: "x"}, "x"},
		{Passage{Text: "x", First: true}, "x"},
		{Passage{Title: "T", Heading: "H > I", Text: "x", Breadcrumb: true}, "T > H > I\nx"},
		{Passage{Title: "T", Text: "x", Breadcrumb: true}, "T\nx"},
		{Passage{Heading: "H", Text: "x", Breadcrumb: true}, "H\nx"},
		{Passage{Text: "x", Breadcrumb: true}, "x"},
	} {
		if got := c.p.Evidence(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.p, got, c.want)
		}
	}
}
