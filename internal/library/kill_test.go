package library

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// crashDir names the library that a child process works in until it is killed.
const crashDir = "FLASHBACK_TEST_LIBRARY"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := work(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// uploads are what the child brings.
const uploads = 6

// text is that of upload n; no other has its last word.
func text(n int) string {
	return strings.Repeat(fmt.Sprintf("The harbour of town %d lies under the old wall. ", n), 400) + fmt.Sprintf("lighthouse%d", n)
}

// work brings documents to the library's only index, waits until they are there, takes
// one out and compacts the index.
func work(dir string) error {
	l, err := Open(Options{Dir: dir, Tokenizer: words{}})
	if err != nil {
		return err
	}
	defer l.Close()
	index := l.Names()[0]
	var files []File
	for n := range uploads {
		f, err := l.Put(fmt.Sprintf("town%d.md", n), strings.NewReader(text(n)), 1<<20, anybodys)
		if err != nil {
			return err
		}
		if _, err := l.Attach(index, f.ID); err != nil {
			return err
		}
		files = append(files, f)
	}
	for {
		info, err := l.Info(index)
		if err != nil {
			return err
		}
		if info.Documents[Failed] > 0 {
			return fmt.Errorf("%+v", info)
		}
		if info.Documents[Queued]+info.Documents[InProgress] == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := l.Detach(context.Background(), index, files[0].ID); err != nil {
		return err
	}
	return l.Compact(context.Background(), index)
}

// TestKill kills a process that adds, deletes and compacts at random moments: the index is
// sound each time and has of each document all or nothing, and a library that is opened
// then ends what was begun and leaves no rest of it.
func TestKill(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("kill -9 is a Unix word")
	}
	moments := 6
	if os.Getenv("FLASHBACK_LONG") != "" {
		moments = 50
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	l := opened(t, dir)
	index := create(t, l)
	add(t, l, index, "first.md", "a fox, the first")
	l.Close()
	child := func() *exec.Cmd {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), crashDir+"="+dir)
		return cmd
	}
	start := time.Now()
	if out, err := child().CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	usual := time.Since(start)
	rng := rand.New(rand.NewPCG(60, uint64(time.Now().UnixNano())))
	killed, resumed := 0, 0
	for range moments {
		cmd := child()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rng.Int64N(int64(usual))))
		cmd.Process.Kill()
		if cmd.Wait() != nil {
			killed++
		}
		if _, err := bm25.Verify(t.Context(), filepath.Join(dir, "stores", index+".index")); err != nil {
			t.Fatal(err)
		}
		l := opened(t, dir)
		resumed += l.jobs.length()
		documents, err := l.Documents(index)
		if err != nil {
			t.Fatal(err)
		}
		sound := []string{index + ".uploads/first.md"}
		for _, d := range documents {
			f, err := l.File(d.File)
			if err != nil {
				t.Fatal(err)
			}
			if d = attached(t, l, index, f); d.State != Completed {
				t.Fatalf("%+v", d)
			}
			if d.Name != "first.md" {
				sound = append(sound, index+".uploads/"+d.Name)
			}
		}
		for l.jobs.length() > 0 || l.Compact(t.Context(), index) != nil { // what was to be taken out
			time.Sleep(time.Millisecond)
		}
		if _, err := l.Verify(t.Context(), index); err != nil {
			t.Fatal(err)
		}
		var have []string
		r, err := l.Acquire(index)
		if err != nil {
			t.Fatal(err)
		}
		for s, err := range r.s.several.Parts()[0].Index.Sources() {
			if err != nil {
				t.Fatal(err)
			}
			have = append(have, s.Name)
		}
		r.Release()
		slices.Sort(sound)
		if !slices.Equal(have, sound) {
			t.Fatalf("the index is of %q, not %q", have, sound)
		}
		if n := len(under(t, filepath.Join(dir, "files"))); n != 2*len(l.Files()) {
			t.Fatalf("%d paths for %d files", n, len(l.Files()))
		}
		for _, path := range under(t, filepath.Join(dir, "stores")) {
			base := filepath.Base(path)
			if strings.Contains(base, ".tmp") || strings.HasPrefix(base, ".") && base != recordDir {
				t.Fatalf("%s was left behind", path)
			}
		}
		for _, f := range l.Files() { // for the next round
			if f.Name != "first.md" {
				if err := l.Delete(t.Context(), f.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		l.Close()
	}
	t.Logf("%d of %d killed before they were done, %d documents were gone on with", killed, moments, resumed)
}
