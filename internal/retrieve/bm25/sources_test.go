package bm25

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// found returns the sources of the passages that the index in dir finds.
func found(t *testing.T, dir, query string) []string {
	t.Helper()
	x, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	passages, err := x.Retrieve(context.Background(), retrieve.Query{Text: query, K: 50})
	if err != nil {
		t.Fatal(err)
	}
	var sources []string
	for _, p := range passages {
		sources = append(sources, p.Source)
	}
	return sources
}

func expect(t *testing.T, dir, query string, want ...string) {
	t.Helper()
	if got := found(t, dir, query); !slices.Equal(got, want) {
		t.Errorf("%s: found in %v, want %v", query, got, want)
	}
	if _, err := Verify(context.Background(), dir); err != nil {
		t.Error(err)
	}
}

func add(t *testing.T, dir string, passages ...retrieve.Passage) Stats {
	t.Helper()
	stats, err := Add(context.Background(), dir, all(passages), BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return stats
}

// TestReplaceSource: all of a source goes when it comes again, and only that, for
// ids are unique in their source only.
func TestReplaceSource(t *testing.T) {
	dir := build(t, []retrieve.Passage{
		{ID: "1", Source: "a", Text: "red fox"}, {ID: "2", Source: "a", Text: "red hen"}, {ID: "3", Source: "a", Text: "red cat"},
		{ID: "1", Source: "b", Text: "blue fox"},
	}, BuildOptions{})
	if stats := add(t, dir, retrieve.Passage{ID: "1", Source: "a", Text: "green fox"}); stats.Passages != 1 || stats.Replaced != 3 {
		t.Errorf("%+v", stats)
	}
	expect(t, dir, "red")
	expect(t, dir, "fox", "b", "a")
	if n, err := Delete(context.Background(), dir, []string{"1"}, nil); n != 2 || err != nil {
		t.Error(n, err)
	}
	expect(t, dir, "fox")
}

// TestAlikePassages: passages that are alike are found once, and as long as one of
// them lives.
func TestAlikePassages(t *testing.T) {
	ctx := context.Background()
	alike := func(source string) retrieve.Passage {
		return retrieve.Passage{ID: source, Source: source, Title: "t", Text: "the same words"}
	}
	dir := build(t, []retrieve.Passage{alike("a"), {ID: "o", Source: "o", Text: "other things"}, alike("b")}, BuildOptions{})
	add(t, dir, alike("c"))
	add(t, dir, retrieve.Passage{ID: "u", Source: "u", Title: "another title", Text: "the same words"})
	expect(t, dir, "same words", "a", "u")
	if _, err := Delete(ctx, dir, nil, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	expect(t, dir, "same words", "b", "u")
	add(t, dir, retrieve.Passage{ID: "b", Source: "b", Text: "edited"})
	expect(t, dir, "same words", "c", "u")
	if err := Compact(ctx, dir); err != nil {
		t.Fatal(err)
	}
	expect(t, dir, "same words", "c", "u")
}

// TestManyAlike puts many copies among others, and holds both ways of traversing
// against a plain filter of an index that shows all.
func TestManyAlike(t *testing.T) {
	rng := rand.New(rand.NewPCG(30, 31))
	base := randomPassages(rng, 600)
	var passages []retrieve.Passage
	for i := range 1500 {
		p := base[rng.IntN(len(base))]
		if rng.IntN(3) == 0 {
			p = base[rng.IntN(5)]
		}
		p.ID, p.Source = fmt.Sprint("c", i), fmt.Sprint("f", i/10)
		passages = append(passages, p)
	}
	x := open(t, build(t, passages, BuildOptions{}))
	x.window = 256
	content := func(doc uint32) [3]string { p := passages[doc]; return [3]string{p.Title, p.Heading, p.Text} }
	first := map[[3]string]uint32{}
	for i := range passages {
		if _, ok := first[content(uint32(i))]; !ok {
			first[content(uint32(i))] = uint32(i)
		}
	}
	ref := newPlain(passages, false)
	for range 60 {
		query := randomQuery(rng, base, 12)
		var want []float64
		for _, doc := range first {
			if s := ref.score(query, int(doc)); s > 0 {
				want = append(want, s)
			}
		}
		slices.SortFunc(want, func(a, b float64) int { return cmp.Compare(b, a) })
		for _, k := range []int{1, 5, 100} {
			for _, limit := range []uint32{denseLimit, 0} {
				x.denseLimit = limit
				got, _, err := x.Search(retrieve.Query{Text: query, K: k}, nil)
				if err != nil || len(got) != min(k, len(want)) {
					t.Fatal(len(got), len(want), err)
				}
				shown := map[[3]string]bool{}
				for i, h := range got {
					if math.Abs(h.Score-want[i]) > 1e-6*want[i] {
						t.Fatalf("k %d, limit %d, hit %d scores %g, want %g", k, limit, i, h.Score, want[i])
					}
					if c := content(h.Doc); shown[c] || first[c] != h.Doc {
						t.Fatalf("k %d, limit %d: passage %d is alike another, or not the first", k, limit, h.Doc)
					}
					shown[content(h.Doc)] = true
				}
			}
		}
	}
}

// TestSourceList follows the list of sources through changes of every kind, with
// memory for a few of them and for all.
func TestSourceList(t *testing.T) {
	ctx := context.Background()
	for _, memory := range []int64{0, 1} {
		rng := rand.New(rand.NewPCG(32, 33))
		dir := filepath.Join(t.TempDir(), "index")
		w, err := Create(ctx, dir, BuildOptions{Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]Source{}
		for round := range 12 {
			changed := map[string]bool{}
			for range 40 {
				name := fmt.Sprintf("dir%d/file%d.md", rng.IntN(5), rng.IntN(40))
				if changed[name] {
					continue
				}
				changed[name] = true
				_, known := want[name]
				s := Source{Name: name, Size: rng.Int64N(1 << 40), Modified: time.Unix(rng.Int64N(1<<31), rng.Int64N(1e9)), Digest: rng.Uint64()}
				switch kind := rng.IntN(5); {
				case kind == 0 && known:
					err = w.Remove(name)
					delete(want, name)
				case kind == 1 && known:
					err = w.Touch(s)
					s.Title, s.Passages = want[name].Title, want[name].Passages
					want[name] = s
				default:
					if err = w.Begin(s); err != nil {
						t.Fatal(err)
					}
					for i := range rng.IntN(4) {
						s.Passages++
						s.Title = "title of " + name
						p := retrieve.Passage{ID: fmt.Sprint(name, "#", i), Source: name, Title: s.Title, Text: fmt.Sprint("round ", round, " part ", i, " of ", name)}
						if err := w.Add(p); err != nil {
							t.Fatal(err)
						}
					}
					want[name] = s
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Remove("not there"); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Commit(); err != nil {
				t.Fatal(err)
			}
			x := open(t, dir)
			var last string
			n := 0
			for s, err := range x.Sources() {
				if err != nil {
					t.Fatal(err)
				}
				if w := want[s.Name]; s.Name <= last || s.Title != w.Title || s.Passages != w.Passages || s.Size != w.Size || !s.Modified.Equal(w.Modified) || s.Digest != w.Digest {
					t.Fatalf("%+v, want %+v", s, w)
				}
				last = s.Name
				n++
			}
			if info := x.Info(); n != len(want) || info.Sources != n || info.Segments > maxSegments {
				t.Fatalf("%d sources, want %d; %+v", n, len(want), info)
			}
			if _, err := Verify(ctx, dir); err != nil {
				t.Fatal(err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*-*.sources")); len(left) > 0 {
				t.Fatalf("%v were left behind", left)
			}
			if w, err = Append(ctx, dir, BuildOptions{Memory: memory}); err != nil {
				t.Fatal(err)
			}
			for name := range want {
				if _, s, ok, err := w.Find(name); !ok || err != nil || s.Name != name {
					t.Fatalf("%s: %+v, %v, %v", name, s, ok, err)
				}
			}
			if _, s, ok, err := w.Find("dir3/nothing"); ok || err != nil {
				t.Fatalf("found %+v, %v", s, err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNoFolderIsLeft: what comes to nothing leaves nothing.
func TestNoFolderIsLeft(t *testing.T) {
	room := t.TempDir()
	dir := filepath.Join(room, "new", "index")
	_, err := Build(context.Background(), dir, func(yield func(retrieve.Passage, error) bool) {
		yield(retrieve.Passage{ID: "a", Text: "words"}, nil)
		yield(retrieve.Passage{}, fmt.Errorf("cannot read on"))
	}, BuildOptions{})
	if err == nil || !strings.Contains(err.Error(), "cannot read on") {
		t.Errorf("%v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(room, "*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}
