package main

import (
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// shortNames returns how sources are called in what is printed: where all are of one
// folder by their paths in it, else by their names, which begin with their root's.
func shortNames(roots []bm25.Root) func(source string) string {
	if len(roots) != 1 || !roots[0].Folder {
		return func(source string) string { return source }
	}
	return func(source string) string { return strings.TrimPrefix(source, roots[0].Name+"/") }
}

// fullNames returns names as they may be typed: as they are in the index, or as
// shortNames prints them.
func fullNames(roots []bm25.Root, names []string) []string {
	full := slices.Clone(names)
	if len(roots) == 1 && roots[0].Folder {
		for _, name := range names {
			full = append(full, roots[0].Name+"/"+name)
		}
	}
	return full
}
