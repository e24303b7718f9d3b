package folder

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// git runs git in a folder, without any configuration of the machine's.
func git(t testing.TB, dir string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir, "XDG_CONFIG_HOME="+dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %q: %v", args, err)
	}
	return out
}

// gitFiles returns what git would add, without the hidden.
func gitFiles(t testing.TB, dir string) []string {
	t.Helper()
	var files []string
	for name := range bytes.SplitSeq(git(t, dir, "ls-files", "-o", "-c", "--exclude-standard", "-z"), []byte{0}) {
		if len(name) > 0 && !strings.Contains("/"+string(name), "/.") {
			files = append(files, string(name))
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// walked returns the files that Files yields, sorted.
func walked(t testing.TB, dir string) []string {
	t.Helper()
	var files []string
	for f, err := range Files(dir, Options{}) {
		if err == nil {
			files = append(files, f.Name)
		}
	}
	slices.Sort(files)
	return files
}

// TestAsGit compares random trees under random patterns with git, from the root
// of the repository and from a folder in it.
func TestAsGit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("there is no git to compare with")
	}
	rounds := 60
	if testing.Short() {
		rounds = 15
	}
	root := t.TempDir()
	t.Setenv("HOME", root)
	t.Setenv("XDG_CONFIG_HOME", root)
	ignored := 0
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		dir := filepath.Join(root, fmt.Sprint(seed))
		all := randomTree(t, r, dir)
		git(t, root, "init", "-q", dir)
		if r.IntN(2) == 0 {
			tree(t, dir, ".git/info/exclude="+randomPatterns(r))
		}
		for _, sub := range []string{"", "a", "foo/a"} {
			from := filepath.Join(dir, sub)
			if info, err := os.Stat(from); err != nil || !info.IsDir() {
				continue
			}
			want, got := gitFiles(t, from), walked(t, from)
			if sub != "" && len(want) == 0 {
				continue // git leaves a folder that it ignores out even if it is named
			}
			if !slices.Equal(got, want) {
				t.Errorf("tree %d from %q:\ngot  %q\nwant %q\n%s", seed, sub, got, want, rules(dir))
			}
			if sub == "" {
				ignored += all - len(want)
			}
		}
	}
	if ignored < rounds {
		t.Errorf("only %d files of all trees are ignored", ignored)
	}
}

// rules returns the ignore files of a tree for a report.
func rules(dir string) string {
	var b strings.Builder
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if base := filepath.Base(path); err == nil && (base == ".gitignore" || base == "exclude") {
			data, _ := os.ReadFile(path)
			fmt.Fprintf(&b, "%s: %q\n", path[len(dir):], data)
		}
		return nil
	})
	return b.String()
}

var parts = []string{"a", "b", "foo", "bar", "a.b", "x y", "[x]", "x", "foo.txt", "b.log", "é", "a*b", "ab", "A", "a-b", "3"}

// randomTree writes a tree and returns how many of its files are not hidden.
func randomTree(t testing.TB, r *rand.Rand, dir string) (files int) {
	t.Helper()
	for range 10 + r.IntN(40) {
		name := parts[r.IntN(len(parts))]
		for range r.IntN(4) {
			name = path.Join(parts[r.IntN(len(parts))], name)
		}
		full := filepath.Join(dir, name)
		if os.MkdirAll(filepath.Dir(full), 0o777) == nil && os.WriteFile(full, nil, 0o666) == nil {
			files++ // else a file stands where a folder is wanted, or the other way round
		}
		if r.IntN(6) == 0 && os.MkdirAll(full+".d", 0o777) == nil {
			tree(t, filepath.Dir(full), ".gitignore="+randomPatterns(r))
		}
	}
	tree(t, dir, ".gitignore="+randomPatterns(r))
	return files
}

var atoms = []string{"*", "**", "?", "a", "b", "foo", "bar", "x", ".", "/", "/", "/**/", "*.", "[ab]", "[!a]", "[^x]", "[a-c]", "[]x]", "[x", "\\[x\\]",
	"\\*", "[[:alpha:]]", "[[:digit:]]", "[\\]]", "[a-]", "é", "txt", "log", "\\a", "x\\ y", "x y", "\\", "{a,b}", "3", "A", "a-b"}

// randomPatterns returns the lines of an ignore file: what people write, and what
// they do not.
func randomPatterns(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(6) {
		if r.IntN(3) == 0 {
			b.WriteByte('!')
		}
		if r.IntN(4) == 0 {
			b.WriteByte('/')
		}
		switch r.IntN(3) {
		case 0: // a path that may be there
			name := parts[r.IntN(len(parts))]
			for range r.IntN(3) {
				name = path.Join(parts[r.IntN(len(parts))], name)
			}
			b.WriteString(name)
		case 1:
			b.WriteString(parts[r.IntN(len(parts))] + []string{"/*", "/**", "/**/x", "*", "/*/a", "**"}[r.IntN(6)])
		default:
			for range 1 + r.IntN(5) {
				b.WriteString(atoms[r.IntN(len(atoms))])
			}
		}
		b.WriteString([]string{"", "", "", "/", "  ", "\\ ", "/ ", "\r"}[r.IntN(8)])
		b.WriteByte('\n')
	}
	return b.String()
}
