package main

import (
	"strings"

	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// shortNames returns how sources are called in what is printed: in an index of one
// folder by their paths in it, else by their names, which begin with their root's.
func shortNames(index *bm25.Index) func(source string) string {
	roots := index.Roots()
	if len(roots) != 1 || !roots[0].Folder {
		return func(source string) string { return source }
	}
	return func(source string) string { return strings.TrimPrefix(source, roots[0].Name+"/") }
}
