package bm25

import (
	"bytes"
	"context"
	"errors"
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

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// often returns n, or many where the environment asks for the long tests.
func often(n, many int) int {
	if os.Getenv("FLASHBACK_LONG") != "" {
		return many
	}
	return n
}

// answers are what an index says to a few queries.
func answers(dir string, queries []string) ([]retrieve.Passage, error) {
	x, err := Open(dir, Options{})
	if err != nil {
		return nil, err
	}
	defer x.Close()
	var out []retrieve.Passage
	for _, q := range queries {
		passages, err := x.Retrieve(context.Background(), retrieve.Query{Text: q, K: 5, ExcludeTitles: []string{"t2"}})
		if err != nil {
			return nil, err
		}
		out = append(out, passages...)
	}
	return out, nil
}

// TestDamage truncates and changes every file at random places: what follows is
// an error that names a file of the index, or the right answers.
func TestDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	passages := randomPassages(rng, 400)
	dir := build(t, passages[:300], BuildOptions{})
	if _, err := Add(context.Background(), dir, all(passages[300:]), BuildOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Delete(context.Background(), dir, []string{"p1", "p350"}, nil); err != nil {
		t.Fatal(err)
	}
	queries := []string{randomQuery(rng, passages, 24), randomQuery(rng, passages, 3)}
	want, err := answers(dir, queries)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*[a-z]"))
	if err != nil {
		t.Fatal(err)
	}
	errorsSeen := 0
	for range often(1000, 10_000) {
		path := files[rng.IntN(len(files))]
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(good) == 0 {
			continue // the lock
		}
		bad := bytes.Clone(good)
		at := rng.IntN(len(bad))
		if rng.IntN(4) == 0 {
			bad = bad[:at]
		} else {
			bad[at] ^= 1 << rng.IntN(8)
		}
		if err := os.WriteFile(path, bad, 0o666); err != nil {
			t.Fatal(err)
		}
		got, err := answers(dir, queries)
		switch {
		case err != nil:
			errorsSeen++
			if !strings.Contains(err.Error(), filepath.Base(path)) && !strings.Contains(err.Error(), "has format") {
				t.Fatalf("%s damaged at %d: the error names another file: %v", path, at, err)
			}
		case !slices.Equal(got, want):
			t.Fatalf("%s damaged at %d: wrong answers", path, at)
		}
		if _, err := Verify(context.Background(), dir); err == nil && filepath.Base(path) != manifestName {
			t.Fatalf("%s damaged at %d: verify found nothing", path, at)
		}
		if err := os.WriteFile(path, good, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if errorsSeen == 0 {
		t.Error("no damage was noticed")
	}
}

// crashStep names what a child process does to an index, again and again, until
// it is killed.
const crashStep, crashDir = "FLASHBACK_TEST_CRASH_STEP", "FLASHBACK_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if step := os.Getenv(crashStep); step != "" {
		if err := crashChild(step, os.Getenv(crashDir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// crashCorpus returns the passages before and after a step's change.
func crashCorpus() (old, added []retrieve.Passage) {
	passages := randomPassages(rand.New(rand.NewPCG(9, 10)), 1500)
	return passages[:1000], passages[1000:]
}

func crashChild(step, dir string) error {
	ctx := context.Background()
	old, added := crashCorpus()
	var err error
	switch step {
	case "build":
		_, err = Build(ctx, dir, all(slices.Concat(old, added)), BuildOptions{Memory: 1 << 20})
	case "add":
		_, err = Add(ctx, dir, all(added), BuildOptions{Memory: 1 << 20})
	case "delete":
		_, err = Delete(context.Background(), dir, []string{"p3"}, []string{"f1", "f9"})
	case "compact":
		err = Compact(ctx, dir)
	}
	return err
}

// TestKill kills a process at random moments of each change. The index must then
// be sound and hold what it held before or after, and the next change succeed.
func TestKill(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("kill -9 is a Unix word")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	old, added := crashCorpus()
	rng := rand.New(rand.NewPCG(11, uint64(time.Now().UnixNano())))
	queries := []string{randomQuery(rng, old, 24), randomQuery(rng, added, 24)}
	for _, step := range []string{"build", "add", "delete", "compact"} {
		t.Run(step, func(t *testing.T) {
			base := build(t, old, BuildOptions{})
			if step == "compact" {
				if err := crashChild("add", base); err != nil {
					t.Fatal(err)
				}
				if err := crashChild("delete", base); err != nil {
					t.Fatal(err)
				}
			}
			before, err := answers(base, queries)
			if err != nil {
				t.Fatal(err)
			}
			copyTo := func() string {
				dir := filepath.Join(t.TempDir(), "copy")
				if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
					t.Fatal(err)
				}
				return dir
			}
			whole := copyTo()
			start := time.Now()
			if out, err := crashCommand(exe, step, whole).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			usual := time.Since(start)
			after, err := answers(whole, queries)
			if err != nil {
				t.Fatal(err)
			}
			killed := 0
			for range often(6, 50) {
				dir := copyTo()
				cmd := crashCommand(exe, step, dir)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Duration(rng.Int64N(int64(usual))))
				cmd.Process.Kill()
				if cmd.Wait() != nil {
					killed++
				}
				if _, err := Verify(context.Background(), dir); err != nil {
					t.Fatal(err)
				}
				got, err := answers(dir, queries)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, before) && !slices.Equal(got, after) {
					t.Fatal("the index is neither the old nor the new one")
				}
				if err := crashChild(step, dir); err != nil && !errors.Is(err, ErrEmpty) {
					t.Fatalf("the next change fails: %v", err)
				}
				if step == "add" { // what was added twice counts twice until then
					if err := Compact(context.Background(), dir); err != nil {
						t.Fatal(err)
					}
				}
				if got, err := answers(dir, queries); err != nil || !slices.Equal(got, after) {
					t.Fatalf("the next change does not bring the new index: %v", err)
				}
				if left, _ := filepath.Glob(filepath.Join(dir, "*"+tempSuffix)); len(left) > 0 {
					t.Fatalf("%v were left behind", left)
				}
			}
			t.Logf("%d killed before they were done", killed)
		})
	}
}

func crashCommand(exe, step, dir string) *exec.Cmd {
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), crashStep+"="+step, crashDir+"="+dir)
	return cmd
}

func TestSecondWriterIsRefused(t *testing.T) {
	passages := randomPassages(rand.New(rand.NewPCG(1, 1)), 20)
	dir := build(t, passages, BuildOptions{})
	unlock, err := lockIndex(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	for name, err := range map[string]error{
		"compact": Compact(context.Background(), dir),
		"delete":  second(Delete(context.Background(), dir, []string{"p1"}, nil)),
		"add":     second(Add(context.Background(), dir, all(passages), BuildOptions{})),
		"build":   second(Build(context.Background(), dir, all(passages), BuildOptions{})),
	} {
		if err == nil || !strings.Contains(err.Error(), "another process is writing") {
			t.Errorf("%s: %v", name, err)
		}
	}
	open(t, dir) // readers are not kept out
}

func second[T any](_ T, err error) error { return err }

func TestPlaces(t *testing.T) {
	passages := randomPassages(rand.New(rand.NewPCG(1, 1)), 20)
	dir := t.TempDir()
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrNoIndex) {
		t.Errorf("an empty directory: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "letter.txt"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(context.Background(), dir, all(passages), BuildOptions{}); err == nil || !strings.Contains(err.Error(), "letter.txt") {
		t.Errorf("a directory with other files: %v", err)
	}
	old := filepath.Join(t.TempDir(), "old")
	if err := os.Mkdir(old, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old, manifestName), []byte(`{"manifest":{"format":0},"crc32c":0}`), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(old, Options{}); err == nil || !strings.Contains(err.Error(), "index again") {
		t.Errorf("an old format: %v", err)
	}
}

func TestEmpty(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	if _, err := Build(context.Background(), dir, all(nil), BuildOptions{}); !errors.Is(err, ErrEmpty) {
		t.Errorf("no passages: %v", err)
	}
	x := open(t, build(t, []retrieve.Passage{{ID: "a", Text: "the of and"}, {ID: "b", Text: "fox"}}, BuildOptions{}))
	for query, want := range map[string]int{"": 0, "the": 0, "unheard": 0, "foxes": 1, "\xff\xfe": 0} {
		got, err := x.Retrieve(context.Background(), retrieve.Query{Text: query, K: 3})
		if err != nil || len(got) != want {
			t.Errorf("%q: %v, %v", query, got, err)
		}
	}
}
