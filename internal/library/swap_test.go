package library

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// mappings counts the files below dir that the process maps into memory.
func mappings(t testing.TB, dir string) (n int) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0 // told by Linux only
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(maps), dir)
}

// descriptors counts the process's open files.
func descriptors(t testing.TB) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// TestReadersWhileWriting searches, alone and together with another index, while documents
// come and go: each reader finds a state that was, whole, and finds it again as long as it
// holds it. In the end no old state is open.
func TestReadersWhileWriting(t *testing.T) {
	dir := t.TempDir()
	files := descriptors(t)
	l := opened(t, dir, given(t, "a.md", "the fox is red"))
	index := create(t, l)
	first := add(t, l, index, "first.md", "a fox, the first")
	swapped := put(t, l, "swapped.md", "a fox, again a fox")
	sources(t, l, "fox", "notes", index)
	runtime.GC()
	before := mappings(t, dir)

	stop, done := make(chan struct{}), sync.WaitGroup{}
	for reader := range 6 {
		names := [][]string{{index}, {"notes", index}}[reader%2]
		done.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := readTwice(t, l, names, index); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 25 { // two changes each
		if d := attached(t, l, index, swapped); d.State != Completed {
			t.Fatalf("%+v", d)
		}
		if err := l.Detach(t.Context(), index, swapped.ID); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	done.Wait()
	want(t, sources(t, l, "fox", index), index+".uploads/first.md")
	if err := l.Compact(t.Context(), index); err != nil { // into one segment, as it was
		t.Fatal(err)
	}
	if after := mappings(t, dir); after != before {
		t.Errorf("%d mappings, %d before", after, before)
	}
	if err := l.Detach(t.Context(), index, first.ID); err != nil {
		t.Fatal(err)
	}
	r, err := l.Acquire(index)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := l.Acquire(index); !errors.Is(err, errClosed) {
		t.Errorf("a closed library: %v", err)
	}
	if mappings(t, dir) == 0 && runtime.GOOS == "linux" {
		t.Error("what is read was closed")
	}
	r.Release()
	r.Release() // once is enough
	if _, err := r.Retrieve(t.Context(), retrieve.Query{Text: "fox", K: 1}); !errors.Is(err, errReleased) {
		t.Errorf("a reading that was released: %v", err)
	}
	if n := mappings(t, dir); n != 0 {
		t.Errorf("%d mappings are left", n)
	}
	if n := descriptors(t); n > files {
		t.Errorf("%d files are open, %d at the start", n, files)
	}
}

// readTwice acquires the indexes, and looks at them twice.
func readTwice(t *testing.T, l *Library, names []string, index string) error {
	r, err := l.Acquire(names...)
	if err != nil {
		return err
	}
	defer r.Release()
	look := func() ([]retrieve.Passage, error) { return r.Retrieve(t.Context(), retrieve.Query{Text: "fox", K: 9}) }
	found, err := look()
	if err != nil {
		return err
	}
	var got []string
	for _, p := range found {
		got = append(got, strings.TrimPrefix(p.Source, index+".uploads/"))
	}
	slices.Sort(got)
	with, without := []string{"first.md", "swapped.md"}, []string{"first.md"}
	if len(names) == 2 {
		with, without = append(with, "notes/a.md"), append(without, "notes/a.md")
		slices.Sort(with)
		slices.Sort(without)
	}
	if !slices.Equal(got, with) && !slices.Equal(got, without) {
		return fmt.Errorf("%q found %q", names, got)
	}
	runtime.Gosched()
	again, err := look()
	if err == nil && !slices.Equal(again, found) {
		err = fmt.Errorf("%q found %v, and then %v", names, found, again)
	}
	return err
}

// TestShelf keeps a bounded number of snapshots open.
func TestShelf(t *testing.T) {
	l := opened(t, t.TempDir())
	var names []string
	for range 2*shelved + 4 {
		names = append(names, create(t, l))
	}
	for _, name := range names {
		sources(t, l, "fox", name)
	}
	l.shelf.mu.Lock()
	defer l.shelf.mu.Unlock()
	if len(l.shelf.open) != shelved || l.shelf.open[names[len(names)-1]] == nil {
		t.Errorf("%d are open", len(l.shelf.open))
	}
}
