package folder

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree writes files, "name" or "name -> target" for a link.
func tree(t testing.TB, dir string, files ...string) {
	t.Helper()
	for _, f := range files {
		name, target, link := strings.Cut(f, " -> ")
		name, text, _ := strings.Cut(name, "=")
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o777)
		if err == nil && link {
			err = os.Symlink(target, path)
		} else if err == nil {
			err = os.WriteFile(path, []byte(text), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// names returns the files' names and those of what could not be read, with '!'.
func names(t testing.TB, root string, o Options) (got []string) {
	t.Helper()
	for f, err := range Files(root, o) {
		if broken, ok := errors.AsType[*Error](err); ok {
			got = append(got, "!"+broken.Name)
		} else if err != nil {
			t.Fatal(err)
		} else {
			got = append(got, f.Name)
			if data, err := os.ReadFile(f.Path); err != nil || int64(len(data)) != f.Info.Size() {
				t.Errorf("%s: %d bytes, the walk says %d; %v", f.Path, len(data), f.Info.Size(), err)
			}
		}
	}
	return got
}

func TestFiles(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		root  string
		o     Options
		want  string
	}{
		"hidden and locks": {[]string{"a", ".b", ".c/d", "~$e.docx", ".~lock.f#", "g/h"}, ".", Options{}, "a g/h"},
		"order":            {[]string{"b", "a/z", "a.b", "a/.c", "a/b/c"}, ".", Options{}, "a/b/c a/z a.b b"},
		"git ignore":       {[]string{".gitignore=*.log\n/build/\n", "a.log", "b", "c/a.log", "build/d", "c/build/e"}, ".", Options{}, "b c/build/e"},
		"kept inside":      {[]string{".gitignore=dir/*\n!dir/keep\n", "dir/keep/x", "dir/y", "dir/z/x"}, ".", Options{}, "dir/keep/x"},
		"nested":           {[]string{".gitignore=vendor\n", "sub/.gitignore=!vendor\n", "sub/vendor/a", "vendor/b"}, ".", Options{}, "sub/vendor/a"},
		"ripgrep's":        {[]string{".gitignore=*.log\n", ".ignore=!a.log\nc\n", "a.log", "b.log", "c"}, ".", Options{}, "a.log"},
		"no ignore":        {[]string{".gitignore=*.log\n", ".ignore=c\n", "a.log", "c", ".d"}, ".", Options{NoIgnore: true}, "a.log c"},
		"above":            {[]string{".git/HEAD", ".gitignore=x\ny/z\n", "y/x", "y/z", "y/w", "y/v/x"}, "y", Options{}, "w"},
		"above, no repo":   {[]string{".gitignore=x\n", "y/x"}, "y", Options{}, "x"},
		"exclude file":     {[]string{".git/info/exclude=/a/x\n", "a/x", "a/y"}, "a", Options{}, "y"},
		"linked tree":      {[]string{"r/.git/worktrees/w/commondir=../..", "r/.git/info/exclude=x", "w/.git=gitdir: ../r/.git/worktrees/w\n", "w/x", "w/y"}, "w", Options{}, "y"},
		"repo in a repo":   {[]string{".git/HEAD", ".gitignore=*.log\nno\n", "in/.git/HEAD", "in/a.log", "in/no", "b.log"}, ".", Options{}, "in/a.log in/no"},
		"user's":           {[]string{".git/config=[core]\n\texcludesFile = ~/mine\n", "home/mine=x\n!z\n", ".gitignore=z\n", "x", "y", "z"}, ".", Options{}, "home/mine y"},
		"all ignored":      {[]string{".gitignore=*\n", "a", "b"}, ".", Options{}, "!."},
		"nothing":          {[]string{".a"}, ".", Options{}, ""},
		"include":          {[]string{"a.md", "b.txt", "c/d.md", "e/f.go"}, ".", Options{Include: []string{"*.{md,markdown}", "e"}}, "a.md c/d.md e/f.go"},
		"include a path":   {[]string{"a.md", "c/d.md", "c/e/f.md"}, ".", Options{Include: []string{"./c/*.md", "/c/e/"}}, "c/d.md c/e/f.md"},
		"exclude":          {[]string{"a.md", "b/drafts/c.md", "drafts/d.md", "x/y/z"}, ".", Options{Exclude: []string{"drafts", "x/**"}}, "a.md"},
		"link to root":     {[]string{"real/a", "link -> real"}, "link", Options{}, "a"},
		"links within":     {[]string{"a", "b -> a", "c/d", "e -> c", "f/up -> .."}, ".", Options{}, "a c/d"},
		"links out":        {[]string{"out/a/b", "out/c", "in/d -> ../out/a", "in/e -> ../out/c", "in/f -> ../out/c", "in/g"}, "in", Options{}, "g d/b e"},
		"links in a loop":  {[]string{"out/a", "out/again -> .", "out/home -> ../in", "in/d -> ../out"}, "in", Options{}, "d/a"},
		"link to root's own": {[]string{"p/in/a", "p/in/up -> ..", "p/in/top -> /"}, "p/in", Options{},
			"a !top !up"},
		"broken link":        {[]string{"a", "b -> nowhere", "c -> c"}, ".", Options{}, "a !b !c"},
		"ignored links":      {[]string{".gitignore=data/\n", "in/.gitignore=data/\n", "out/a", "in/data -> ../out"}, "in", Options{}, "!."},
		"link to the hidden": {[]string{".a/b", "c -> .a/b", "d -> .a"}, ".", Options{}, "c d/b"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("HOME", filepath.Join(dir, "home"))
			t.Setenv("XDG_CONFIG_HOME", "")
			tree(t, dir, c.files...)
			if got := strings.Join(names(t, filepath.Join(dir, c.root), c.o), " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestSkip(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, "a", "x.index/manifest.json", "b/x.index/c")
	got := names(t, dir, Options{Skip: func(path string) bool { return filepath.Base(path) == "x.index" }})
	if !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %q", got)
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, "a", "locked/b", "c")
	for _, root := range []string{filepath.Join(dir, "none"), filepath.Join(dir, "a")} {
		for _, err := range Files(root, Options{}) {
			if err == nil {
				t.Errorf("%s was read", root)
			}
		}
	}
	for _, glob := range []string{"[", "", "{a"} {
		if err := (Options{Exclude: []string{glob}}).Check(); err == nil {
			t.Errorf("%q is taken as a glob", glob)
		}
	}
	if os.Getuid() == 0 {
		t.Skip("root reads what nobody may read")
	}
	if err := os.Chmod(filepath.Join(dir, "locked"), 0); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir, Options{}); !slices.Equal(got, []string{"a", "c", "!locked"}) {
		t.Errorf("got %q", got)
	}
}

// TestStops leaves the iteration at every file.
func TestStops(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, "a/b", "a/c", "d", "e -> nowhere")
	for stop := 1; stop <= 4; stop++ {
		n := 0
		for range Files(dir, Options{}) {
			if n++; n == stop {
				break
			}
		}
		if n != stop {
			t.Errorf("stopped after %d, not %d", n, stop)
		}
	}
}
