package corpus

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	gitignore "github.com/sabhiram/go-gitignore"
)

// ignoreFiles are the files whose patterns, in gitignore's form, leave out what
// lies beside and below them.
var ignoreFiles = []string{".gitignore", ".ignore"}

// ignoreRules holds the patterns met so far on the way down from root.
type ignoreRules struct {
	root  string
	byDir map[string][]*gitignore.GitIgnore
}

func newIgnoreRules(root string) *ignoreRules {
	return &ignoreRules{root: root, byDir: map[string][]*gitignore.GitIgnore{}}
}

// load reads the ignore files of a directory.
func (r *ignoreRules) load(dir string) error {
	for _, name := range ignoreFiles {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		rules, err := gitignore.CompileIgnoreFile(path)
		if err != nil {
			return err
		}
		r.byDir[dir] = append(r.byDir[dir], rules)
	}
	return nil
}

// ignores reports whether the patterns of a directory above path name it.
func (r *ignoreRules) ignores(path string, isDir bool) bool {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		for _, rules := range r.byDir[dir] {
			rel, err := filepath.Rel(dir, path)
			if err != nil {
				continue
			}
			if isDir {
				rel += "/"
			}
			if rules.MatchesPath(filepath.ToSlash(rel)) {
				return true
			}
		}
		if dir == r.root || dir == filepath.Dir(dir) {
			return false
		}
	}
}
