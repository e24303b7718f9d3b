package collection

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestWatch follows a folder through changes at any depth.
func TestWatch(t *testing.T) {
	room, o := t.TempDir(), options(t)
	dir, notes := filepath.Join(room, "index"), filepath.Join(room, "notes")
	write(t, notes, "a.md", "alpha", "sub/b.md", "beta")
	if err := os.Mkdir(filepath.Join(notes, "bare"), 0o777); err != nil {
		t.Fatal(err)
	}
	made(t, dir, o, notes)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reports := make(chan *Report, 100)
	ended := make(chan error)
	go func() {
		ended <- Watch(ctx, dir, nil, o, func(r *Report, err error) {
			if err != nil {
				t.Error(err)
			}
			reports <- r
		}, func(err error) { t.Logf("polling: %v", err) })
	}()
	// next waits until the index was updated to hold these.
	next := func(want ...string) {
		t.Helper()
		deadline := time.After(30 * time.Second)
		for {
			select {
			case <-reports:
				if slices.Equal(listed(t, dir), want) {
					return
				}
			case <-deadline:
				t.Fatalf("the change was not noticed: the index has %q, want %q", listed(t, dir), want)
			}
		}
	}
	<-reports
	write(t, notes, "e.md", "epsilon")
	next("notes/a.md", "notes/e.md", "notes/sub/b.md")
	write(t, notes, "e.md", "")
	next("notes/a.md", "notes/sub/b.md")
	write(t, notes, "bare/c.md", "gamma")
	next("notes/a.md", "notes/bare/c.md", "notes/sub/b.md")
	if err := os.Rename(filepath.Join(notes, "sub"), filepath.Join(notes, "renamed")); err != nil {
		t.Fatal(err)
	}
	next("notes/a.md", "notes/bare/c.md", "notes/renamed/b.md")
	write(t, notes, "renamed/b.md", "", "renamed/deep/d.md", "delta")
	next("notes/a.md", "notes/bare/c.md", "notes/renamed/deep/d.md")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
