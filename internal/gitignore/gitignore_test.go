package gitignore

import (
	"strings"
	"testing"
	"time"
)

// What git says of each is in internal/folder's comparison; these are the rules one
// by one.
func TestMatch(t *testing.T) {
	for _, c := range []struct {
		patterns string
		path     string
		isDir    bool
		want     Verdict
	}{
		{"foo", "foo", false, Ignore},
		{"foo", "a/b/foo", false, Ignore},
		{"foo", "foobar", false, Silent},
		{"/foo", "a/foo", false, Silent},
		{"a/foo", "a/foo", false, Ignore},
		{"a/foo", "b/a/foo", false, Silent},
		{"foo/", "foo", false, Silent},
		{"foo/", "a/foo", true, Ignore},
		{"*.log\n!keep.log", "a/keep.log", false, Include},
		{"!keep.log\n*.log", "keep.log", false, Ignore},
		{"# foo", "# foo", false, Silent},
		{`\# foo`, "# foo", false, Ignore},
		{`\!foo`, "!foo", false, Ignore},
		{"foo  ", "foo", false, Ignore},
		{`foo\ `, "foo ", false, Ignore},
		{"foo\r\nbar", "foo", false, Ignore},
		{"\ufefffoo", "foo", false, Ignore},
		{"\n\n!\n/\n", "", true, Silent},
		{"*.c", "a/b.c", false, Ignore},
		{"a/*.c", "a/b/c.c", false, Silent},
		{"a/**/c", "a/c", false, Ignore},
		{"a/**/c", "a/x/y/c", false, Ignore},
		{"**/c", "c", false, Ignore},
		{"**/b/c", "a/b/c", false, Ignore},
		{"a/**", "a/x/y", false, Ignore},
		{"a/**", "a", true, Silent},
		{"a**b", "axxb", false, Ignore},
		{"a**/b", "ax/y/b", false, Ignore}, // as git: behind a literal beginning ** is at the start
		{"f?o", "fao", false, Ignore},
		{"f/?", "f/a/b", false, Silent},
		{"[a-c]x", "bx", false, Ignore},
		{"[!a-c]x", "bx", false, Silent},
		{"[]-]x", "]x", false, Ignore},
		{"[[:digit:]]x", "7x", false, Ignore},
		{"[[:nothing:]]x", "7x", false, Silent},
		{"[ax", "ax", false, Silent},
		{`\[x\]`, "[x]", false, Ignore},
		{"{a,b}", "a", false, Silent}, // no braces
		{"*", ".x", false, Ignore},
	} {
		if got := Parse([]byte(c.patterns)).Match(c.path, c.isDir); got != c.want {
			t.Errorf("%q of %q (folder %v): %d, want %d", c.patterns, c.path, c.isDir, got, c.want)
		}
	}
}

// TestManyStars has patterns that take exponential time when every star is tried
// with every other.
func TestManyStars(t *testing.T) {
	start := time.Now()
	for _, pattern := range []string{strings.Repeat("*a", 40) + "b", "x/" + strings.Repeat("**/a/", 40) + "b", strings.Repeat("*", 1000) + "b"} {
		path := "x/" + strings.Repeat("a/", 200) + strings.Repeat("a", 200)
		if got := Parse([]byte(pattern)).Match(path, false); got != Silent {
			t.Errorf("%q matches", pattern)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("matching took %v", took)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add([]byte("*.log\n!/a/**/[b-d]/\n\\ x\\ \n"), "a/b/c.log")
	f.Add([]byte("[[:alpha:]]**/\\"), "é/x")
	f.Fuzz(func(t *testing.T, data []byte, path string) {
		ps := Parse(data)
		file, dir := ps.Match(path, false), ps.Match(path, true)
		if file == Ignore && dir == Silent {
			t.Errorf("%q: a file of that name is ignored and a folder is not spoken of", data)
		}
	})
}
