package library

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/flashback-lm/flashback/internal/atomicfile"
)

// TestFullDisk lets the disk run full under an upload and under a change: both say so, and
// what was there before is there still.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("a small file system cannot be mounted: %v; run as root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	l := opened(t, dir)
	t.Cleanup(func() { l.Close() }) // before it is unmounted
	index := create(t, l)
	add(t, l, index, "a.md", "a fox")
	if _, err := l.Put("large.md", bytes.NewReader(bytes.Repeat([]byte("words "), 1<<20)), 1<<30, anybodys); !atomicfile.NoSpace(err) {
		t.Errorf("an upload: %v", err)
	}
	f := put(t, l, "b.md", strings.Repeat("many different foxes and hens ", 10_000))
	free := fill(t, dir, 0)
	if _, err := l.Attach(index, f.ID); !atomicfile.NoSpace(err) {
		t.Errorf("an attachment: %v", err)
	}
	if _, err := l.Create(t.Context(), "", ""); !atomicfile.NoSpace(err) {
		t.Errorf("a new index: %v", err)
	}
	free()
	free = fill(t, dir, 40<<10) // for what is noted of the document, not for a segment
	if d := attached(t, l, index, f); d.State != Failed || d.Unreadable || d.Error != "the disk is full" {
		t.Errorf("%+v", d)
	}
	want(t, sources(t, l, "fox", index), index+".uploads/a.md")
	if _, err := l.Verify(t.Context(), index); err != nil {
		t.Error(err)
	}
	free()
	if d := attached(t, l, index, f); d.State != Completed {
		t.Errorf("%+v", d)
	}
	if n := len(l.Names()); n != 1 {
		t.Errorf("%d indexes", n)
	}
}

// fill leaves so many bytes on the file system of dir until the function it returns is
// called.
func fill(t *testing.T, dir string, leave int64) (free func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := int64(0)
	for n := 0; err == nil; size += int64(n) {
		n, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Truncate(size - leave); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Fatal(err)
		}
	}
}
