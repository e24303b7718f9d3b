package library

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flashback-lm/flashback/internal/collection"
	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// words counts a word as a token.
type words struct{}

func (words) Encode(text string) []int32 { return make([]int32, len(strings.Fields(text))) }
func (words) Digest() string             { return "words" }

// opened opens a library in dir with these indexes.
func opened(t testing.TB, dir string, given ...Given) *Library {
	t.Helper()
	l, err := Open(Options{Indexes: given, Dir: dir, Tokenizer: words{}, Warn: func(err error) { t.Log(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// put uploads a file.
func put(t testing.TB, l *Library, name, text string) File {
	t.Helper()
	f, err := l.Put(name, strings.NewReader(text), 1<<20, anybodys)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// anybodys is what the files of the tests are.
func anybodys(*File) error { return nil }

func create(t testing.TB, l *Library) string {
	t.Helper()
	info, err := l.Create(t.Context(), "label", "")
	if err != nil {
		t.Fatal(err)
	}
	return info.Name
}

// attached puts a file into an index and waits until it is there or is not going to be.
func attached(t testing.TB, l *Library, index string, f File) Document {
	t.Helper()
	d, err := l.Attach(index, f.ID)
	if err != nil {
		t.Fatal(err)
	}
	for d.State == Queued || d.State == InProgress {
		time.Sleep(time.Millisecond)
		if d, err = l.Document(index, f.ID); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func add(t testing.TB, l *Library, index, name, text string) File {
	t.Helper()
	f := put(t, l, name, text)
	if d := attached(t, l, index, f); d.State != Completed || d.Progress != 1 {
		t.Fatalf("%+v", d)
	}
	return f
}

// sources returns where the indexes find what is asked for.
func sources(t testing.TB, l *Library, query string, names ...string) (found []string) {
	t.Helper()
	r, err := l.Acquire(names...)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	passages, err := r.Retrieve(t.Context(), retrieve.Query{Text: query, K: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range passages {
		found = append(found, p.Source)
	}
	slices.Sort(found)
	return found
}

func want(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("found in %q, want %q", got, want)
	}
}

// given makes an index of a folder as `flashback index` does.
func given(t testing.TB, files ...string) Given {
	t.Helper()
	room := t.TempDir()
	notes := filepath.Join(room, "notes")
	if err := os.Mkdir(notes, 0o777); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(notes, files[i]), []byte(files[i+1]), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	chunker, err := corpus.NewChunker(defaultChunking, words{})
	if err != nil {
		t.Fatal(err)
	}
	g := Given{"notes", filepath.Join(room, "notes.index")}
	o := collection.Options{Chunker: chunker, Index: bm25.BuildOptions{Analyzer: "folding", BreadcrumbWeight: 2, Chunking: defaultChunking.String(), Overlap: 16, Tokenizer: "words"}}
	if _, err := collection.Build(t.Context(), g.Dir, []string{notes}, o); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestUploads takes files into an index that the library made and out of it, through
// the library's end and beginning.
func TestUploads(t *testing.T) {
	dir := t.TempDir()
	l := opened(t, dir)
	index := create(t, l)
	want(t, sources(t, l, "fox", index))
	fox := add(t, l, index, "a/../fox.md", "# Red\n\nthe fox is red")
	hen := add(t, l, index, "fox.md", "the hen fears the fox")
	want(t, sources(t, l, "fox", index), index+".uploads/fox (2).md", index+".uploads/fox.md")
	info, err := l.Info(index)
	if err != nil || info.Sources != 2 || info.Passages != 2 || info.Documents[Completed] != 2 || !info.Made || info.Label != "label" || info.Bytes < 100 {
		t.Errorf("%+v, %v", info, err)
	}
	if again, err := l.Attach(index, fox.ID); err != nil || again.State != Completed {
		t.Errorf("attached twice: %+v, %v", again, err)
	}
	if err := l.Rename(index, "another"); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	l = opened(t, dir)
	if documents, err := l.Documents(index); err != nil || len(documents) != 2 || documents[0].File != fox.ID || documents[1].Name != "fox (2).md" {
		t.Errorf("%+v, %v", documents, err)
	}
	if again, err := l.Info(index); err != nil || again.Label != "another" || again.Generation != info.Generation {
		t.Errorf("%+v, %v", again, err)
	}
	if err := l.Detach(t.Context(), index, hen.ID); err != nil {
		t.Fatal(err)
	}
	want(t, sources(t, l, "fox", index), index+".uploads/fox.md")
	if err := l.Compact(t.Context(), index); err != nil {
		t.Error(err)
	}
	if held, err := l.Verify(t.Context(), index); err != nil || held.Segments != 1 || held.Deleted != 0 || held.Sources != 1 {
		t.Errorf("%+v, %v", held, err)
	}
	if err := l.Delete(t.Context(), fox.ID); err != nil { // out of the index too
		t.Fatal(err)
	}
	want(t, sources(t, l, "fox", index))
	if files := l.Files(); len(files) != 1 || files[0].ID != hen.ID || files[0].Name != "fox.md" {
		t.Errorf("%+v", files)
	}
	if err := l.Remove(index); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"acquire": second(l.Acquire(index)), "attach": second(l.Attach(index, hen.ID)), "document": second(l.Document(index, hen.ID)), "info": second(l.Info(index)),
		"remove": l.Remove(index), "rename": l.Rename(index, "x"), "detach": l.Detach(t.Context(), index, hen.ID), "compact": l.Compact(t.Context(), index),
		"file": second(l.File(fox.ID)), "content": second(l.Content("../lock")), "delete": l.Delete(t.Context(), fox.ID), "passage": second(l.Passage(index, "psg_")),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s of what is gone: %v", what, err)
		}
	}
	l.Close()
	if left := under(t, dir); !slices.Equal(left, []string{"files", "files/" + hen.ID, "files/" + hen.ID + ".json", "lock", "stores"}) {
		t.Errorf("left behind: %q", left)
	}
}

func second[T any](_ T, err error) error { return err }

// under lists all that lies below dir.
func under(t testing.TB, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if path != dir && err == nil {
			rel, _ := filepath.Rel(dir, path)
			paths = append(paths, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// TestGiven adds uploads to an index that was there: they are a root of their own, and
// bringing the index up to date elsewhere finds nothing to be done.
func TestGiven(t *testing.T) {
	g := given(t, "a.md", "the fox is red")
	l := opened(t, t.TempDir(), g)
	hen := add(t, l, "notes", "hen.txt", "the hen fears the fox")
	want(t, sources(t, l, "fox", "notes"), "notes.uploads/hen.txt", "notes/a.md")
	for what, err := range map[string]error{"remove": l.Remove("notes"), "rename": l.Rename("notes", "x")} {
		if !errors.Is(err, ErrGiven) {
			t.Errorf("%s: %v", what, err)
		}
	}
	chunker, err := l.chunker("notes")
	if err != nil {
		t.Fatal(err)
	}
	sync := func() *collection.Report {
		report, err := collection.Update(t.Context(), g.Dir, nil, collection.Options{Chunker: chunker, Kept: true})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	if report := sync(); report.Unchanged != 2 || report.New+report.Changed+report.Deleted > 0 {
		t.Errorf("%+v", report)
	}
	// What another process does is seen.
	if err := os.WriteFile(filepath.Join(filepath.Dir(g.Dir), "notes", "b.md"), []byte("a fox again"), 0o666); err != nil {
		t.Fatal(err)
	}
	if report := sync(); report.New != 1 {
		t.Errorf("%+v", report)
	}
	want(t, sources(t, l, "fox", "notes"), "notes.uploads/hen.txt", "notes/a.md", "notes/b.md")

	// An index that is made again gets its uploads back.
	l.Close()
	o := collection.Options{Chunker: chunker, Index: bm25.BuildOptions{Analyzer: "folding", BreadcrumbWeight: 2, Chunking: defaultChunking.String(), Overlap: 16, Tokenizer: "words"}}
	if _, err := collection.Build(t.Context(), g.Dir, []string{filepath.Join(filepath.Dir(g.Dir), "notes")}, o); err != nil {
		t.Fatal(err)
	}
	l = opened(t, l.o.Dir, g)
	if d := attached(t, l, "notes", hen); d.State != Completed {
		t.Errorf("%+v", d)
	}
	want(t, sources(t, l, "fox", "notes"), "notes.uploads/hen.txt", "notes/a.md", "notes/b.md")
}

// TestPassages follows a passage that several indexes found together to where it is from,
// for as long as it is there.
func TestPassages(t *testing.T) {
	l := opened(t, t.TempDir(), given(t, "a.md", "the fox is red"))
	index := create(t, l)
	f := add(t, l, index, "b.md", "the fox and the hen")
	r, err := l.Acquire("notes", index)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	found, err := r.Retrieve(t.Context(), retrieve.Query{Text: "fox", K: 5})
	if err != nil || len(found) != 2 {
		t.Fatal(found, err)
	}
	for _, p := range found {
		name, id := r.Cite(p)
		if got, err := l.Passage(name, id); err != nil || got.Text != p.Text || (name == index) != strings.Contains(p.Text, "hen") {
			t.Errorf("%q of %q: %v, %v", id, name, got, err)
		}
	}
	for _, id := range []string{"", "psg_", "x", "psg_AAAA", "psg_AAAAAAAAAAAAAAAAAAAAAA", "psg_AAAAAAAAAAAAAAAAAAAAAB", "psg_AAAAAAAAAAAAAAAAAAAAAA=", "../x"} {
		if _, err := l.Passage("notes", id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if err := l.Detach(t.Context(), index, f.ID); err != nil {
		t.Fatal(err)
	}
	for _, p := range found {
		name, id := r.Cite(p)
		if _, err := l.Passage(name, id); (err == nil) != (name == "notes") || err != nil && !errors.Is(err, ErrNotFound) {
			t.Errorf("%q of %q: %v", id, name, err)
		}
	}
	if again, err := r.Retrieve(t.Context(), retrieve.Query{Text: "fox", K: 5}); err != nil || !slices.Equal(again, found) {
		t.Errorf("a snapshot changed: %v, %v", again, err)
	}
	if name, id := r.Cite(retrieve.Passage{ID: "x", Source: "elsewhere"}); name != "" || id != "" {
		t.Errorf("a passage of nowhere is %q of %q", id, name)
	}
}

// TestUnreadable takes files that cannot be read: they fail, with the reason, and nothing
// is left of them in the index or its folder.
func TestUnreadable(t *testing.T) {
	l := opened(t, t.TempDir())
	index := create(t, l)
	good := put(t, l, "good.md", "a fox")
	for name, text := range map[string]string{"empty.md": " \n", "broken.pdf": "no PDF", "broken.docx": "no archive", "late.txt": strings.Repeat("text ", headSize) + strings.Repeat("\x00\x01\x02\xff", 4*headSize)} {
		d := attached(t, l, index, put(t, l, name, text))
		if d.State != Failed || d.Error == "" || !d.Unreadable {
			t.Errorf("%s: %+v", name, d)
		}
	}
	if d := attached(t, l, index, good); d.State != Completed {
		t.Errorf("%+v", d)
	}
	if info, err := l.Info(index); err != nil || info.Sources != 1 || info.Documents[Failed] != 4 {
		t.Errorf("%+v, %v", info, err)
	}
	if left := under(t, filepath.Join(l.o.Dir, "stores", index+".uploads")); slices.ContainsFunc(left, func(p string) bool { return strings.Contains(p, "broken") }) {
		t.Errorf("left behind: %q", left)
	}
	for name, head := range map[string]string{"a.exe": "MZ\x00\x01\x02\xff\xfe\x00", "a.doc": "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00\x00", "a.md.gz": "no gzip", "x.png": "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x02\x00\x00\x00\x02\x00\x08\x06\x00\x00\x00\xf4x\xd4\xfa"} {
		if _, err := l.Put(name, strings.NewReader(head), 1<<20, anybodys); !errors.Is(err, ErrKind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := l.Put("a.md", strings.NewReader("12345"), 4, anybodys); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if _, err := l.Put("a.md", iotestErr{}, 4, anybodys); !errors.Is(err, errTest) {
		t.Errorf("broken off: %v", err)
	}
	if n := len(under(t, filepath.Join(l.o.Dir, "files"))); n != 2*len(l.Files()) {
		t.Errorf("%d paths for %d files", n, len(l.Files()))
	}
}

var errTest = errors.New("broken off")

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, errTest }

// TestBusy lets one writer in.
func TestBusy(t *testing.T) {
	l := opened(t, t.TempDir())
	index := create(t, l)
	f := add(t, l, index, "a.md", "a fox")
	x := l.indexes[index]
	x.writing.Lock()
	for what, err := range map[string]error{"compact": l.Compact(t.Context(), index), "verify": second(l.Verify(t.Context(), index)), "detach": l.Detach(t.Context(), index, f.ID), "remove": l.Remove(index), "delete": l.Delete(t.Context(), f.ID)} {
		if !errors.Is(err, ErrBusy) {
			t.Errorf("%s: %v", what, err)
		}
	}
	want(t, sources(t, l, "fox", index), index+".uploads/a.md") // readers come in

	// What waits is cancelled at once, and what is taken up when its turn comes.
	waiting, taken := put(t, l, "b.md", "a hen"), put(t, l, "c.md", "a hen")
	if _, err := l.Attach(index, taken.ID); err != nil {
		t.Fatal(err)
	}
	for l.jobs.length() > 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := l.Attach(index, waiting.ID); err != nil {
		t.Fatal(err)
	}
	for _, f := range []File{waiting, taken} {
		if err := l.Cancel(index, f.ID); err != nil {
			t.Error(err)
		}
	}
	if d, err := l.Document(index, waiting.ID); err != nil || d.State != Cancelled {
		t.Errorf("%+v, %v", d, err)
	}
	x.writing.Unlock()
	if d := attached(t, l, index, f); d.State != Completed {
		t.Errorf("%+v", d)
	}
	for d := (Document{}); d.State != Cancelled; time.Sleep(time.Millisecond) {
		var err error
		if d, err = l.Document(index, taken.ID); err != nil || d.State == Completed {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	want(t, sources(t, l, "hen", index))
	if d := attached(t, l, index, taken); d.State != Completed { // wanted after all
		t.Errorf("%+v", d)
	}
}

// length returns how many documents wait.
func (j *jobs) length() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.queue)
}

// TestFinishedAreForgotten keeps a bounded number of what failed.
func TestFinishedAreForgotten(t *testing.T) {
	x := newIndex("x", filepath.Join(t.TempDir(), "x.index"))
	if err := os.MkdirAll(filepath.Dir(x.record("a")), 0o777); err != nil {
		t.Fatal(err)
	}
	for i := range 2 * maxFinished {
		d := &Document{File: fmt.Sprintf("file-%d", i), Name: fmt.Sprint(i), Added: time.Unix(int64(i), 0)}
		x.documents[d.File] = d
		if err := x.end(d, Failed, "why"); err != nil {
			t.Fatal(err)
		}
	}
	if len(x.documents) != maxFinished || x.documents["file-100"] == nil || len(under(t, filepath.Dir(x.record("a")))) != maxFinished {
		t.Errorf("%d are kept", len(x.documents))
	}
}

// TestOneLibrary refuses a directory that another library has, names that are none and
// names that mean two.
func TestOneLibrary(t *testing.T) {
	dir := t.TempDir()
	opened(t, dir)
	g := given(t, "a.md", "text")
	for want, o := range map[string]Options{
		"another process": {Dir: dir},
		"no name":         {Indexes: []Given{{"../x", g.Dir}}},
		"two indexes":     {Indexes: []Given{g, {g.Name, dir}}},
		"are one index":   {Indexes: []Given{g, {"other", g.Dir}}},
		"no index here":   {Indexes: []Given{{"other", dir}}},
		"not a directory": {Dir: filepath.Join(g.Dir, "manifest.json")},
	} {
		o.Tokenizer = words{}
		if l, err := Open(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
			if err == nil {
				l.Close()
			}
		}
	}
	l := opened(t, "", g)
	if _, err := l.Create(t.Context(), "", ""); !errors.Is(err, ErrNoDir) {
		t.Error(err)
	}
	if _, err := l.Put("a.md", strings.NewReader("x"), 9, anybodys); !errors.Is(err, ErrNoDir) {
		t.Error(err)
	}
	for _, names := range [][]string{{}, {"notes", "notes"}} {
		if _, err := l.Acquire(names...); err == nil {
			t.Errorf("%q are acquired", names)
		}
	}
}

// TestOtherTokens takes no document for an index that another model's tokens cut, and
// searches none together that were analysed otherwise.
func TestOtherTokens(t *testing.T) {
	g := given(t, "a.md", "text")
	dir := filepath.Join(t.TempDir(), "english.index")
	w, err := bm25.Create(t.Context(), dir, bm25.BuildOptions{Tokenizer: "others"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(retrieve.Passage{ID: "1", Text: "text", Source: "s"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	l := opened(t, t.TempDir(), g, Given{"english", dir})
	if _, err := l.Attach("english", put(t, l, "a.md", "text").ID); !errors.Is(err, ErrTokenizer) {
		t.Error(err)
	}
	if _, err := l.Acquire("notes", "english"); !errors.Is(err, bm25.ErrAnalyzers) || strings.Contains(err.Error(), dir) {
		t.Error(err)
	}
}
