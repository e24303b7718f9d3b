package main

import (
	"slices"
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

// fullNames returns names as they may be typed: as they are in the index, or as
// shortNames prints them.
func fullNames(index *bm25.Index, names []string) []string {
	full := slices.Clone(names)
	if roots := index.Roots(); len(roots) == 1 && roots[0].Folder {
		for _, name := range names {
			full = append(full, roots[0].Name+"/"+name)
		}
	}
	return full
}
