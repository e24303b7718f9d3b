package collection

import (
	"os"
	"path/filepath"

	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// Locate returns what finds the file of a source of the index in dir: its absolute
// path, or "" where it is of no file or no longer there.
func Locate(dir string, roots []bm25.Root) (func(source string) string, error) {
	p, err := newPlaces(dir, roots)
	if err != nil {
		return nil, err
	}
	return func(source string) string {
		for _, r := range p.roots {
			sub, inside := within(r.Name, source)
			if !inside || r.path == "" || sub != "" && !filepath.IsLocal(filepath.FromSlash(sub)) {
				continue
			}
			path := filepath.Join(r.path, filepath.FromSlash(sub))
			if info, err := os.Stat(path); err != nil || info.IsDir() {
				return ""
			}
			return path
		}
		return ""
	}, nil
}

// Name returns what a file or folder at path is called among the sources of the index in
// dir, or would be once it is read; ok is false where no root has it.
func Name(dir string, roots []bm25.Root, path string) (name string, ok bool) {
	p, err := newPlaces(dir, roots)
	if err != nil {
		return "", false
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", false
	}
	real := withoutLinks(absolute)
	for _, r := range p.roots {
		if sub, inside := below(r.real, real); inside && r.path != "" && (sub == "" || r.Folder) {
			return join(r.Name, sub), true
		}
	}
	return "", false
}
