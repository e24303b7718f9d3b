package bm25

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

func openAll(t *testing.T, dirs ...string) *Several {
	t.Helper()
	s, err := OpenAll(dirs, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestSeveral holds two indexes searched together against one of all passages: scores
// equal to the bit, and what is excluded by its name stays away.
func TestSeveral(t *testing.T) {
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(30, 31))
	passages := randomPassages(rng, 2000)
	one := open(t, build(t, passages, BuildOptions{}))
	a, b := build(t, passages[:700], BuildOptions{}), build(t, passages[700:], BuildOptions{})
	both := openAll(t, a, b)
	for range 100 {
		q := retrieve.Query{Text: randomQuery(rng, passages, 24), K: 20, ExcludeSources: []string{"f3"}}
		want, err := one.Retrieve(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := both.Retrieve(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			n, name, ok := both.Of(got[i].Source)
			part := both.Parts()[n]
			if !ok || got[i].Source != part.Dir+"/"+name {
				t.Fatalf("%q is %q of %q", got[i].Source, name, part.Dir)
			}
			got[i].Source = name
			got[i].ID = strings.TrimPrefix(got[i].ID, part.Dir+"/")
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v\nnot\n%v", got, want)
		}
	}
	// A name of one index leaves the other's alone.
	q := retrieve.Query{Text: passages[0].Text, K: 1}
	best, err := both.Retrieve(ctx, q)
	if err != nil || len(best) != 1 {
		t.Fatal(best, err)
	}
	q.ExcludeIDs = []string{best[0].ID}
	if next, err := both.Retrieve(ctx, q); err != nil || len(next) > 0 && next[0].ID == best[0].ID {
		t.Errorf("%q is excluded and found: %v", best[0].ID, err)
	}
}

// TestSeveralNames puts directories before names only where two might be alike.
func TestSeveralNames(t *testing.T) {
	rooted := func(root string) string {
		dir := filepath.Join(t.TempDir(), "x.index")
		w, err := Create(context.Background(), dir, BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		w.SetRoots([]Root{{Name: root, Absolute: "/" + root, Folder: true}})
		if err := w.Begin(Source{Name: root + "/a.md"}); err != nil {
			t.Fatal(err)
		}
		if err := w.Add(retrieve.Passage{ID: root + "/a.md#0", Source: root + "/a.md", Text: "kettle of " + root}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	notes, mail, old := rooted("notes"), rooted("mail"), rooted("notes")
	for _, c := range []struct {
		dirs []string
		want []string
	}{
		{[]string{notes}, []string{"notes/a.md"}},
		{[]string{notes, mail}, []string{"notes/a.md", "mail/a.md"}},
		{[]string{notes, old}, []string{notes + "/notes/a.md"}}, // alike, so shown once
	} {
		s := openAll(t, c.dirs...)
		found, err := s.Retrieve(context.Background(), retrieve.Query{Text: "kettle", K: 5})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range found {
			got = append(got, p.Source)
			if part, _, ok := s.Of(p.Source); !ok || s.Parts()[part].Dir != c.dirs[len(got)-1] {
				t.Errorf("%v: %q is of no index", c.dirs, p.Source)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: sources %q, want %q", c.dirs, got, c.want)
		}
	}
	for what, dirs := range map[string][]string{
		"named twice": {notes, notes + "/"}, "no index is named": nil, "no index here": {notes, t.TempDir()},
		"one and the same": {notes, build(t, []retrieve.Passage{{ID: "p", Text: "kettle"}}, BuildOptions{Analyzer: "unicode"})},
	} {
		if s, err := OpenAll(dirs, Options{}); err == nil || !strings.Contains(err.Error(), what) {
			if s != nil {
				s.Close()
			}
			t.Errorf("%v: %v, want %q", dirs, err, what)
		}
	}
}

// TestNeighbour walks documents along their passages, in a segment and merged.
func TestNeighbour(t *testing.T) {
	ctx := context.Background()
	var passages []retrieve.Passage
	for _, doc := range []string{"a", "b"} {
		for i, text := range []string{"first part", "second part", "third part"} {
			passages = append(passages, retrieve.Passage{ID: fmt.Sprintf("%s#%d", doc, 10*i), Source: "s", Offset: int64(10 * i), Text: doc + " " + text})
		}
	}
	x := open(t, build(t, passages, BuildOptions{}))
	next := func(p retrieve.Passage, step int) string {
		q, ok, err := x.Neighbour(ctx, p, step)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return ""
		}
		return q.ID
	}
	for _, c := range []struct {
		at, step int
		want     string
	}{
		{0, 1, "a#10"}, {0, -1, ""}, {1, 1, "a#20"}, {1, -1, "a#0"}, {2, 1, ""}, {3, -1, ""}, {3, 1, "b#10"}, {5, 1, ""},
	} {
		if got := next(passages[c.at], c.step); got != c.want {
			t.Errorf("%s %+d is %q, want %q", passages[c.at].ID, c.step, got, c.want)
		}
	}
	stranger := passages[0]
	stranger.Text = "another"
	if got := next(stranger, 1); got != "" {
		t.Errorf("a passage of another index is followed by %q", got)
	}
}
