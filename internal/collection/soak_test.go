package collection

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// garden is a folder that is worked in at random.
type garden struct {
	t   testing.TB
	rng *rand.Rand
	dir string
}

func (g *garden) words(n int) string {
	var b strings.Builder
	for range n {
		fmt.Fprintf(&b, "w%d ", g.rng.IntN(60))
	}
	return b.String()
}

// text is of few kinds, so that files share some.
func (g *garden) text() string {
	switch g.rng.IntN(5) {
	case 0:
		return "licence of many files, the same words in each of them\n"
	case 1:
		return "# Heading " + g.words(1) + "\n\n" + g.words(g.rng.IntN(60)) + "\n\n# Heading\n\n" + g.words(15)
	case 2:
		return " "
	}
	return g.words(g.rng.IntN(120))
}

func (g *garden) record() string {
	return fmt.Sprintf("{\"id\":\"%d\",\"title\":%q,\"text\":%q}\n", g.rng.IntN(4), g.words(1), g.words(8))
}

func (g *garden) name() string {
	ext := []string{".md", ".txt", ".jsonl", ".html"}[g.rng.IntN(4)]
	parts := []string{"a", "b", "c.d"}[:g.rng.IntN(3)]
	return filepath.Join(filepath.Join(parts...), fmt.Sprint("f", g.rng.IntN(9), ext))
}

// files are what there is to be worked on.
func (g *garden) files() (files, dirs []string) {
	filepath.WalkDir(g.dir, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil || path == g.dir:
		case d.Name() == "index":
			return filepath.SkipDir
		case d.IsDir():
			dirs = append(dirs, path)
		default:
			files = append(files, path)
		}
		return nil
	})
	return files, dirs
}

func (g *garden) check(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *garden) put(path, text string) {
	if strings.HasSuffix(path, ".jsonl") {
		text = ""
		for range g.rng.IntN(5) {
			text += g.record()
		}
	}
	g.check(os.MkdirAll(filepath.Dir(path), 0o777))
	g.check(os.WriteFile(path, []byte(text), 0o666))
}

// work does one thing.
func (g *garden) work() {
	files, dirs := g.files()
	some := func(of []string) string { return of[g.rng.IntN(len(of))] }
	kind := g.rng.IntN(10)
	if len(files) < 3 {
		kind = 0
	}
	switch kind {
	case 0, 1:
		g.put(filepath.Join(g.dir, g.name()), g.text())
	case 2:
		g.put(some(files), g.text())
	case 3: // cut or grown
		path := some(files)
		data, err := os.ReadFile(path)
		g.check(err)
		if g.rng.IntN(2) == 0 {
			data = data[:len(data)/2]
		} else if strings.HasSuffix(path, ".jsonl") {
			data = append(data, g.record()...)
		} else {
			data = append(data, g.words(30)...)
		}
		g.check(os.WriteFile(path, data, 0o666))
	case 4: // one byte, so that the size stays
		path := some(files)
		data, err := os.ReadFile(path)
		g.check(err)
		if i := strings.LastIndexByte(string(data), 'w'); i >= 0 {
			data[i] = 'v'
		}
		g.check(os.WriteFile(path, data, 0o666))
	case 5:
		g.check(os.Remove(some(files)))
	case 6:
		to := filepath.Join(g.dir, g.name())
		g.check(os.MkdirAll(filepath.Dir(to), 0o777))
		g.check(os.Rename(some(files), to))
	case 7: // copied
		data, err := os.ReadFile(some(files))
		g.check(err)
		to := filepath.Join(g.dir, g.name())
		g.check(os.MkdirAll(filepath.Dir(to), 0o777))
		g.check(os.WriteFile(to, data, 0o666))
	case 8: // a new time, long past or now
		when := time.Now().Add(-time.Duration(g.rng.IntN(2)) * time.Hour)
		g.check(os.Chtimes(some(files), when, when))
	case 9:
		switch {
		case len(dirs) == 0:
		case g.rng.IntN(3) == 0:
			g.check(os.RemoveAll(some(dirs)))
		default:
			os.Rename(some(dirs), filepath.Join(g.dir, fmt.Sprint("d", g.rng.IntN(3)))) // which may be there
		}
		if g.rng.IntN(3) == 0 {
			g.check(os.WriteFile(filepath.Join(g.dir, ".gitignore"), []byte(fmt.Sprintf("f%d*\n", g.rng.IntN(12))), 0o666))
		}
	}
}

// state is all that a compacted index holds, and what it answers.
type state struct {
	passages []retrieve.Passage
	sources  []string
	scores   []map[string]float64
}

// stateOf compacts a copy of the index in dir and reads it.
func stateOf(t testing.TB, dir string) state {
	t.Helper()
	ctx := context.Background()
	if _, err := bm25.Verify(ctx, dir); err != nil {
		t.Fatal(err)
	}
	compact := filepath.Join(t.TempDir(), "index")
	if err := os.CopyFS(compact, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := bm25.Compact(ctx, compact); err != nil {
		t.Fatal(err)
	}
	x, err := bm25.Open(compact, bm25.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	var s state
	for i := range x.Info().Passages {
		p, err := x.Passage(uint32(i))
		if err != nil {
			t.Fatal(err)
		}
		s.passages = append(s.passages, p)
	}
	slices.SortFunc(s.passages, func(a, b retrieve.Passage) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Title, b.Title), cmp.Compare(a.Text, b.Text), cmp.Compare(a.Line, b.Line))
	})
	for source, err := range x.Sources() {
		if err != nil {
			t.Fatal(err)
		}
		s.sources = append(s.sources, fmt.Sprint(source.Name, " ", source.Passages, " ", source.Size, " ", source.Digest))
	}
	for q := range 6 {
		found, err := x.Retrieve(ctx, retrieve.Query{Text: fmt.Sprintf("w%d v%d w%d licence heading", q, 3*q, 7*q), K: 1000})
		if err != nil {
			t.Fatal(err)
		}
		scores := map[string]float64{}
		for _, p := range found {
			what := p.Title + "\x00" + p.Heading + "\x00" + p.Text // which of several alike is shown depends on the order of changes
			if _, twice := scores[what]; twice {
				t.Fatalf("%q is found twice", what)
			}
			scores[what] = p.Score
		}
		s.scores = append(s.scores, scores)
	}
	return s
}

// TestSoak works in a folder at random, updates now and then, and holds the index
// against one that is built afresh.
func TestSoak(t *testing.T) {
	steps, every := 1000, 20
	switch {
	case os.Getenv("FLASHBACK_LONG") != "":
		every = 1
	case testing.Short():
		steps, every = 120, 15
	}
	ctx, room := context.Background(), t.TempDir()
	g := &garden{t, rand.New(rand.NewPCG(40, 41)), filepath.Join(room, "garden")}
	o := options(t)
	dir := filepath.Join(g.dir, "index")
	g.put(filepath.Join(g.dir, "first.md"), "the first words")
	made(t, dir, o, g.dir)
	var total Report
	compared := 0
	for step := range steps {
		g.work()
		if g.rng.IntN(3) == 0 && step%every != 0 {
			continue
		}
		report, err := Update(ctx, dir, nil, o)
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range []*int{&total.New, &total.Changed, &total.Renamed, &total.Deleted, &total.Kept, &total.Unchanged} {
			*n += summary(report)[i]
		}
		if g.rng.IntN(100) == 0 {
			if err := bm25.Compact(ctx, dir); err != nil {
				t.Fatal(err)
			}
		}
		if step%every != 0 {
			continue
		}
		afresh := filepath.Join(g.dir, "afresh")
		if _, err := Build(ctx, afresh, []string{g.dir}, o); err != nil {
			t.Fatal(err)
		}
		got, want := stateOf(t, dir), stateOf(t, afresh)
		g.check(os.RemoveAll(afresh))
		if !reflect.DeepEqual(got, want) {
			for i := range min(len(got.sources), len(want.sources)) {
				if got.sources[i] != want.sources[i] {
					t.Errorf("source %q, want %q", got.sources[i], want.sources[i])
				}
			}
			t.Fatalf("step %d: the index differs from one built afresh:\n%+v\n%v\nnot\n%+v\n%v", step, got.passages, got.scores, want.passages, want.scores)
		}
		compared++
	}
	t.Logf("%d comparisons; updates did %v", compared, summary(&total))
	if s := summary(&total); slices.Contains([]int{s[0], s[1], s[2], s[3], s[5]}, 0) || compared == 0 {
		t.Errorf("something never happened: %v", s)
	}
}

// killed names the index that a child process updates.
const killed = "FLASHBACK_TEST_UPDATE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killed); dir != "" {
		t := &testing.T{}
		if _, err := Update(context.Background(), dir, nil, options(t)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestKillUpdate kills an update at random moments: the index is then sound, and
// what it was before or after; and the next update ends as the first would have.
func TestKillUpdate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("kill -9 is a Unix word")
	}
	moments := 10
	switch {
	case os.Getenv("FLASHBACK_LONG") != "":
		moments = 50
	case testing.Short():
		moments = 3
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	room := t.TempDir()
	g := &garden{t, rand.New(rand.NewPCG(42, uint64(time.Now().UnixNano()))), filepath.Join(room, "garden")}
	for i := range 90 {
		g.put(filepath.Join(g.dir, fmt.Sprintf("many%d.md", i)), g.words(300))
	}
	o := options(t)
	base := filepath.Join(room, "base")
	made(t, base, o, g.dir)
	before := stateOf(t, base)
	for range 20 {
		g.work()
	}
	for i := range 30 {
		g.put(filepath.Join(g.dir, fmt.Sprintf("many%d.md", i)), g.words(300))
	}
	update := func(dir string) *exec.Cmd {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), killed+"="+dir)
		return cmd
	}
	fresh := func(name string) string {
		dir := filepath.Join(room, name)
		g.check(os.RemoveAll(dir))
		g.check(os.CopyFS(dir, os.DirFS(base)))
		return dir
	}
	start := time.Now()
	dir := fresh("whole")
	if out, err := update(dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	usual := time.Since(start)
	after := stateOf(t, dir)
	if reflect.DeepEqual(before, after) {
		t.Fatal("the update changes nothing")
	}
	n, old := 0, 0
	for range moments {
		dir := fresh("killed")
		cmd := update(dir)
		g.check(cmd.Start())
		time.Sleep(time.Duration(g.rng.Int64N(int64(usual))))
		cmd.Process.Kill()
		if cmd.Wait() != nil {
			n++
		}
		switch got := stateOf(t, dir); {
		case reflect.DeepEqual(got, before):
			old++
		case !reflect.DeepEqual(got, after):
			t.Fatal("the index is neither the old nor the new one")
		}
		if _, err := Update(context.Background(), dir, nil, o); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(stateOf(t, dir), after) {
			t.Fatal("the next update does not bring the new index")
		}
	}
	t.Logf("%d of %d killed before they were done; %d left the old index", n, moments, old)
}
