package collection

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// A source's file is found below its root, where that is now, and its name by its file.
func TestLocate(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "shelf/notes/a.md", "alpha", "shelf/lone.md", "beta")
	index := filepath.Join(dir, "shelf/x.index")
	made(t, index, options(t), filepath.Join(dir, "shelf/notes"), filepath.Join(dir, "shelf/lone.md"))
	check := func(index string, want map[string]string) {
		t.Helper()
		x, err := bm25.Open(index, bm25.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		locate, err := Locate(index, x.Roots())
		if err != nil {
			t.Fatal(err)
		}
		for source, path := range want {
			if path != "" {
				path = filepath.Join(dir, path)
				if got, ok := Name(index, x.Roots(), path); !ok || got != source {
					t.Errorf("%q is called %q, want %q", path, got, source)
				}
			}
			if got := locate(source); got != path {
				t.Errorf("%q is %q, want %q", source, got, path)
			}
		}
	}
	check(index, map[string]string{
		"notes/a.md": "shelf/notes/a.md", "lone.md": "shelf/lone.md",
		"notes/b.md": "", "notes": "", "notes/../lone.md": "", "stdin": "",
	})
	if err := os.Rename(filepath.Join(dir, "shelf"), filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	check(strings.Replace(index, "shelf", "moved", 1), map[string]string{"notes/a.md": "moved/notes/a.md"})
}
