package server

import (
	"strings"
	"syscall"
	"testing"

	"github.com/flashback-lm/flashback/internal/library"
)

// TestFullDisk uploads more than the disk holds.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small file system cannot be mounted: %v; run as root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	l, err := library.Open(library.Options{Dir: dir, Tokenizer: words{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := managing(t, func(o *Options) { o.Stores = l })
	var got struct {
		Error struct{ Code, Message string }
	}
	told(t, s, upload("a.md", strings.Repeat("words ", 1<<18), "purpose", "assistants"), 507, &got)
	if got.Error.Code != "disk_full" || strings.Contains(got.Error.Message, dir) {
		t.Errorf("%+v", got)
	}
	uploaded(t, s, "a.md", "a few words") // there is room again
}
