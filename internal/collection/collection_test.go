package collection

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

func options(t testing.TB) Options {
	t.Helper()
	chunker, err := corpus.NewChunker(corpus.Chunking{Unit: corpus.Words, Size: 20}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Chunker: chunker, Index: bm25.BuildOptions{IndexTitle: true}}
}

// write makes files below dir: names and texts in turn. A text that is empty removes
// the file. All are older than what the clocks of file systems cannot tell apart.
func write(t testing.TB, dir string, files ...string) {
	t.Helper()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if files[i+1] == "" {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o666); err != nil {
			t.Fatal(err)
		}
		past := time.Now().Add(-time.Hour)
		if info, err := os.Stat(path); err == nil {
			past = past.Add(time.Duration(info.Size()) * time.Microsecond)
		}
		if err := os.Chtimes(path, past, past); err != nil {
			t.Fatal(err)
		}
	}
}

// summary is what an update did, in short: new, changed, renamed, deleted, kept and
// unchanged sources.
func summary(r *Report) [6]int {
	return [6]int{r.New, r.Changed, r.Renamed, r.Deleted, r.Kept, r.Unchanged}
}

func made(t testing.TB, dir string, o Options, paths ...string) {
	t.Helper()
	if _, err := Build(context.Background(), dir, paths, o); err != nil {
		t.Fatal(err)
	}
}

func updated(t testing.TB, dir string, o Options, want [6]int, paths ...string) *Report {
	t.Helper()
	report, err := Update(context.Background(), dir, paths, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := summary(report); got != want {
		t.Errorf("update did %v, want %v", got, want)
	}
	return report
}

// holds checks that the index is sound and lists these sources with text.
func holds(t testing.TB, dir string, want ...string) {
	t.Helper()
	if _, err := bm25.Verify(context.Background(), dir); err != nil {
		t.Error(err)
	}
	if got := listed(t, dir); !slices.Equal(got, want) {
		t.Errorf("the index has %q, want %q", got, want)
	}
}

// listed returns the sources with text.
func listed(t testing.TB, dir string) (names []string) {
	t.Helper()
	x, err := bm25.Open(dir, bm25.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	for s, err := range x.Sources() {
		if err != nil {
			t.Fatal(err)
		}
		if s.Passages > 0 {
			names = append(names, s.Name)
		}
	}
	return names
}

// finds returns the sources of the passages with these words, best first.
func finds(t testing.TB, dir, words string) []string {
	t.Helper()
	x, err := bm25.Open(dir, bm25.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	passages, err := x.Retrieve(context.Background(), retrieve.Query{Text: words, K: 20})
	if err != nil {
		t.Fatal(err)
	}
	var sources []string
	for _, p := range passages {
		sources = append(sources, p.Source)
	}
	return sources
}

func TestUpdate(t *testing.T) {
	room, o := t.TempDir(), options(t)
	notes, dir := filepath.Join(room, "notes"), filepath.Join(room, "notes.index")
	write(t, notes, "a.md", "alpha", "sub/b.md", "beta", "c.txt", "gamma", "empty.md", " ", "picture.png", "\x00\x01")
	made(t, dir, o, notes)
	holds(t, dir, "notes/a.md", "notes/c.txt", "notes/sub/b.md")
	if got := finds(t, dir, "notes"); got != nil {
		t.Errorf("the folder's name is found in %q", got)
	}
	updated(t, dir, o, [6]int{0, 0, 0, 0, 0, 5})
	write(t, notes, "a.md", "alphabet", "sub/b.md", "", "sub/deep/new.md", "delta", "empty.md", "full")
	if err := os.Rename(filepath.Join(notes, "c.txt"), filepath.Join(notes, "renamed.txt")); err != nil {
		t.Fatal(err)
	}
	var did []Change
	o.Did = func(c Change) { did = append(did, c) }
	updated(t, dir, o, [6]int{1, 2, 1, 1, 0, 1})
	want := []Change{{Changed, "notes/a.md", ""}, {Changed, "notes/empty.md", ""}, {Deleted, "notes/sub/b.md", ""}, {Renamed, "notes/renamed.txt", "notes/c.txt"}, {New, "notes/sub/deep/new.md", ""}}
	if !slices.Equal(did, want) {
		t.Errorf("it did %v, want %v", did, want)
	}
	holds(t, dir, "notes/a.md", "notes/empty.md", "notes/renamed.txt", "notes/sub/deep/new.md")
	for words, want := range map[string][]string{"alpha": nil, "beta": nil, "alphabet": {"notes/a.md"}, "gamma": {"notes/renamed.txt"}} {
		if got := finds(t, dir, words); !slices.Equal(got, want) {
			t.Errorf("%s: found in %v", words, got)
		}
	}
}

// TestUnchanged: neither a new time nor a time that cannot be trusted makes a file
// be read, and a change that keeps time and size is seen while it can be.
func TestUnchanged(t *testing.T) {
	room, o := t.TempDir(), options(t)
	dir, path := filepath.Join(room, "index"), filepath.Join(room, "a.md")
	write(t, room, "a.md", "one")
	made(t, dir, o, path)
	now := time.Now()
	if err := os.Chtimes(path, now, now); err != nil {
		t.Fatal(err)
	}
	updated(t, dir, o, [6]int{0, 0, 0, 0, 0, 1})
	if err := os.WriteFile(path, []byte("two"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, now, now); err != nil { // as a clock that has not ticked
		t.Fatal(err)
	}
	updated(t, dir, o, [6]int{0, 1, 0, 0, 0, 0})
	if got := finds(t, dir, "two"); len(got) != 1 {
		t.Error("the change was not seen")
	}
	// Other rules of reading: everything is read again.
	o.Read.Fields.Text = "body"
	updated(t, dir, o, [6]int{0, 1, 0, 0, 0, 0})
}

func TestSameNames(t *testing.T) {
	room, o := t.TempDir(), options(t)
	dir := filepath.Join(room, "index")
	write(t, room, "x/a/README.md", "apollo", "y/a/README.md", "zeus", "z/README.md", "hermes", "w/README.md", "ares", "w/stdin", "pan")
	made(t, dir, o, filepath.Join(room, "x/a"))
	updated(t, dir, o, [6]int{1, 0, 0, 0, 0, 0}, filepath.Join(room, "y/a"))
	updated(t, dir, o, [6]int{3, 0, 0, 0, 0, 0}, filepath.Join(room, "z/README.md"), filepath.Join(room, "w/README.md"), filepath.Join(room, "w/stdin"))
	for _, text := range []string{"demeter", "demeter", `{"id":"1","text":"hera"}`} {
		o.Read.Stdin = strings.NewReader(text)
		updated(t, dir, o, [6]int{1, 0, 0, 0, 0, 0}, "-")
	}
	holds(t, dir, "README.md", "a/README.md", "stdin", "stdin-2", "stdin-3", "stdin-4", "w/README.md", "y/a/README.md")
	updated(t, dir, o, [6]int{0, 0, 0, 0, 0, 5})
	if got := finds(t, dir, "zeus"); !slices.Equal(got, []string{"y/a/README.md"}) {
		t.Errorf("zeus is in %v", got)
	}
}

// TestOutermostRoot: a file is there once, whatever is named on the way to it.
func TestOutermostRoot(t *testing.T) {
	room, o := t.TempDir(), options(t)
	dir, notes := filepath.Join(room, "index"), filepath.Join(room, "notes")
	write(t, notes, ".gitignore", "draft.md", "a.md", "alpha", "draft.md", "delta", "sub/b.md", "beta", "sub/c.md", "gamma")
	made(t, dir, o, filepath.Join(notes, "draft.md"), filepath.Join(notes, "sub"))
	holds(t, dir, "draft.md", "sub/b.md", "sub/c.md")
	updated(t, dir, o, [6]int{1, 0, 3, 0, 0, 0}, notes)
	holds(t, dir, "notes/a.md", "notes/draft.md", "notes/sub/b.md", "notes/sub/c.md")
	write(t, notes, "sub/b.md", "", "sub/c.md", "changed", "a.md", "changed too")
	updated(t, dir, o, [6]int{0, 1, 0, 1, 0, 0}, filepath.Join(notes, "sub"))
	updated(t, dir, o, [6]int{0, 0, 0, 0, 0, 1}, filepath.Join(notes, "sub", "c.md"))
	updated(t, dir, o, [6]int{0, 1, 0, 0, 0, 2})
	holds(t, dir, "notes/a.md", "notes/draft.md", "notes/sub/c.md")
	write(t, notes, "draft.md", "")
	updated(t, dir, o, [6]int{0, 0, 0, 1, 0, 2})
}

func TestIndexInItsFolder(t *testing.T) {
	notes, o := t.TempDir(), options(t)
	dir, other := filepath.Join(notes, "index"), filepath.Join(notes, "sub", "other")
	write(t, notes, "a.md", "alpha", "sub/b.md", "beta")
	made(t, dir, o, notes)
	made(t, other, o, notes)
	base := filepath.Base(notes)
	updated(t, dir, o, [6]int{0, 0, 0, 0, 0, 2})
	holds(t, dir, base+"/a.md", base+"/sub/b.md")
	holds(t, other, base+"/a.md", base+"/sub/b.md")
	if _, err := Update(context.Background(), dir, []string{other}, o); err == nil || !strings.Contains(err.Error(), "is an index") {
		t.Errorf("an index among the documents: %v", err)
	}
}

// TestMoved moves an index with its folder, then alone.
func TestMoved(t *testing.T) {
	room, o := t.TempDir(), options(t)
	write(t, room, "one/notes/a.md", "alpha", "one/letter.txt", "beta")
	one, two := filepath.Join(room, "one"), filepath.Join(room, "two")
	made(t, filepath.Join(one, "index"), o, filepath.Join(one, "notes"), filepath.Join(one, "letter.txt"))
	if err := os.Rename(one, two); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(two, "index")
	write(t, two, "notes/a.md", "alpha, moved")
	updated(t, dir, o, [6]int{0, 1, 0, 0, 0, 1})
	alone := filepath.Join(room, "three", "deep", "index")
	if err := os.MkdirAll(filepath.Dir(alone), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, alone); err != nil {
		t.Fatal(err)
	}
	write(t, two, "notes/a.md", "alpha, moved again")
	updated(t, alone, o, [6]int{0, 1, 0, 0, 0, 1})
	holds(t, alone, "letter.txt", "notes/a.md")
}

// TestNotReadable: what cannot be read now was not deleted.
func TestNotReadable(t *testing.T) {
	room, o := t.TempDir(), options(t)
	dir, notes := filepath.Join(room, "index"), filepath.Join(room, "notes")
	write(t, notes, "a.md", "alpha", "b.pdf", "no PDF", "c.jsonl", `{"text":"gamma"}`)
	made(t, dir, o, notes)
	holds(t, dir, "notes/a.md", "notes/c.jsonl")
	write(t, notes, "c.jsonl", `{"broken":`)
	report := updated(t, dir, o, [6]int{0, 1, 0, 0, 0, 1})
	if report.Read.BadFiles+report.Read.BadRecords != 2 {
		t.Errorf("%+v", report.Read)
	}
	holds(t, dir, "notes/a.md")
	write(t, notes, "c.jsonl", `{"text":"gamma again"}`)
	updated(t, dir, o, [6]int{1, 0, 0, 0, 0, 1})
	write(t, notes, "c.jsonl", "")
	if err := os.Symlink("nowhere", filepath.Join(notes, "c.jsonl")); err != nil {
		t.Fatal(err)
	}
	updated(t, dir, o, [6]int{0, 0, 0, 0, 1, 1})
	holds(t, dir, "notes/a.md", "notes/c.jsonl")
	away := notes + ".away"
	if err := os.Rename(notes, away); err != nil {
		t.Fatal(err)
	}
	if report := updated(t, dir, o, [6]int{0, 0, 0, 0, 2, 0}); !slices.Equal(report.Missing, []string{notes}) {
		t.Errorf("missing %v", report.Missing)
	}
	holds(t, dir, "notes/a.md", "notes/c.jsonl")
	if err := os.Rename(away, notes); err != nil {
		t.Fatal(err)
	}
	o.Strict = true
	write(t, notes, "a.md", "not this")
	if _, err := Update(context.Background(), dir, nil, o); err == nil {
		t.Error("a strict update goes on")
	}
	if got := finds(t, dir, "alpha"); len(got) != 1 {
		t.Error("a strict update changed the index")
	}
}

func TestDelete(t *testing.T) {
	ctx, room, o := context.Background(), t.TempDir(), options(t)
	dir, notes := filepath.Join(room, "index"), filepath.Join(room, "notes")
	write(t, room, "notes/a.md", "alpha", "notes/old/b.md", "beta", "notes/old/c.txt", "gamma", "notes/d.jsonl", `{"id":"7","text":"delta"}`+"\n"+`{"id":"8","text":"eta"}`,
		"more/a.md", "epsilon", "more/old/x.md", "zeta")
	made(t, dir, o, notes, filepath.Join(room, "more"))
	deleted := func(name string, sources, passages int) {
		t.Helper()
		n, stats, err := Delete(ctx, dir, []string{name})
		if err != nil || n != sources || stats.Deleted != passages {
			t.Errorf("%s: %d sources, %d passages, %v", name, n, stats.Deleted, err)
		}
	}
	for name, says := range map[string]string{
		"a.md": `"notes/a.md" or "more/a.md"`, "notes/a.mb": `did you mean "more/a.md" or "notes/a.md"`, "*.docx": "no file", "old": "say which",
	} {
		if _, _, err := Delete(ctx, dir, []string{name}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var missing *NotFoundError
	if _, _, err := Delete(ctx, dir, []string{"notes/a.md", "nothing like it"}); !errors.As(err, &missing) {
		t.Errorf("%v", err)
	}
	deleted("7#0", 0, 1)
	deleted(filepath.Join(notes, "a.md"), 1, 1)
	deleted("old/*.md", 2, 2)
	deleted("old/c.txt", 1, 1)
	holds(t, dir, "more/a.md", "notes/d.jsonl")
	deleted("more/", 1, 1)
	updated(t, dir, o, [6]int{3, 0, 0, 0, 0, 1})
	holds(t, dir, "notes/a.md", "notes/d.jsonl", "notes/old/b.md", "notes/old/c.txt")
}

func TestNoIndex(t *testing.T) {
	room, o := t.TempDir(), options(t)
	dir := filepath.Join(room, "index")
	if _, err := Build(context.Background(), dir, []string{filepath.Join(room, "nothing")}, o); err == nil {
		t.Error("an index of nothing")
	}
	write(t, room, "empty.md", " ")
	if _, err := Build(context.Background(), dir, []string{filepath.Join(room, "empty.md")}, o); !errors.Is(err, bm25.ErrEmpty) {
		t.Errorf("an index without text: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("a folder was left")
	}
	if _, err := Update(context.Background(), dir, nil, o); !errors.Is(err, bm25.ErrNoIndex) {
		t.Errorf("no index: %v", err)
	}
}
