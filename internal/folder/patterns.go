package folder

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/flashback-lm/flashback/internal/gitignore"
)

// kind is a kind of ignore file; a smaller one is heard first.
type kind int

const (
	dotIgnore kind = iota // .ignore, ripgrep's
	gitIgnore             // .gitignore
	repoWide              // .git/info/exclude, and the user's own for all repositories
	kinds
)

// patterns are those of one folder's ignore files.
type patterns struct {
	files [kinds]gitignore.Patterns
	repo  bool // a repository begins here
}

// ends reports whether files of a kind further up say nothing of what is here: a
// repository hears no .gitignore from outside.
func (p *patterns) ends(k kind) bool { return p.repo && k != dotIgnore }

// readPatterns reads the ignore files of a folder.
func readPatterns(dir string) (p patterns, err error) {
	if p.files[dotIgnore], err = readIgnoreFile(filepath.Join(dir, ".ignore")); err != nil {
		return p, err
	}
	if p.files[gitIgnore], err = readIgnoreFile(filepath.Join(dir, ".gitignore")); err != nil {
		return p, err
	}
	gitDir := filepath.Join(dir, ".git")
	if _, err := os.Lstat(gitDir); err != nil {
		return p, nil
	}
	p.repo = true
	gitDir = commonDir(gitDir)
	users, err := readIgnoreFile(excludesFile(gitDir))
	if err != nil {
		return p, err
	}
	exclude, err := readIgnoreFile(filepath.Join(gitDir, "info", "exclude"))
	p.files[repoWide] = append(users, exclude...) // what comes later is heard first
	return p, err
}

// aboveRoot reads the ignore files above a folder, up to the root of the
// repository that it is in; of one in no repository there are none.
func aboveRoot(real string) (above []outer, err error) {
	top := real
	for !isRepo(top) {
		if top == filepath.Dir(top) {
			return nil, nil
		}
		top = filepath.Dir(top)
	}
	for dir := real; dir != top; {
		dir = filepath.Dir(dir)
		own, err := readPatterns(dir)
		if err != nil {
			return nil, err
		}
		below, err := filepath.Rel(dir, real)
		if err != nil {
			return nil, err
		}
		above = append(above, outer{own, filepath.ToSlash(below)})
	}
	return above, nil
}

func isRepo(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, ".git"))
	return err == nil
}

// commonDir returns the repository's own directory for a .git, which in a linked
// work tree or a submodule is a file that leads there.
func commonDir(dir string) string {
	if at := leadsTo(dir, "gitdir: "); at != "" {
		dir = at
	}
	if at := leadsTo(filepath.Join(dir, "commondir"), ""); at != "" {
		return at
	}
	return dir
}

// leadsTo returns the path that a small file holds behind a prefix, "" if it does
// not.
func leadsTo(file, prefix string) string {
	data, err := readSmall(file)
	path, ok := strings.CutPrefix(strings.TrimSpace(string(data)), prefix)
	if err != nil || !ok || path == "" {
		return ""
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(file), path)
	}
	return path
}

// excludesFile returns the path of the user's patterns for all repositories:
// core.excludesFile of the repository or of the user, else git's default.
func excludesFile(gitDir string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	config := os.Getenv("XDG_CONFIG_HOME")
	if config == "" {
		config = filepath.Join(home, ".config")
	}
	for _, file := range []string{filepath.Join(gitDir, "config"), filepath.Join(home, ".gitconfig"), filepath.Join(config, "git", "config")} {
		data, err := readSmall(file)
		if err != nil {
			continue
		}
		path := configured(data, "core", "excludesfile")
		if rest, ok := strings.CutPrefix(path, "~/"); ok {
			path = filepath.Join(home, rest)
		}
		if path != "" {
			return path
		}
	}
	return filepath.Join(config, "git", "ignore")
}

// configured returns the last value of a key in a section of git's configuration.
func configured(data []byte, section, key string) (value string) {
	in := ""
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			in = strings.ToLower(strings.Trim(line, "[] "))
			continue
		}
		name, v, ok := strings.Cut(line, "=")
		if ok && in == section && strings.EqualFold(strings.TrimSpace(name), key) {
			value = strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	return value
}

// readIgnoreFile reads patterns; a file that is not there has none.
func readIgnoreFile(path string) (gitignore.Patterns, error) {
	data, err := readSmall(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, withoutPath(err))
	}
	return gitignore.Parse(data), nil
}

// maxSmall is far above any ignore file that was written by hand.
const maxSmall = 16 << 20

// readSmall reads a regular file; of what is none it returns nothing.
func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	if err != nil || !info.Mode().IsRegular() {
		return nil, nil // it is not there, or a part of its path is no folder
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSmall+1))
	if len(data) > maxSmall {
		err = fmt.Errorf("larger than %d MiB", maxSmall>>20)
	}
	return data, err
}
