package folder

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// checkGlobs returns an error for a glob that is none.
func checkGlobs(globs ...[]string) error {
	for _, glob := range slices.Concat(globs...) {
		if glob == "" || !doublestar.ValidatePattern(glob) {
			return fmt.Errorf("%q is no pattern of file names such as *.md or drafts/**", glob)
		}
	}
	return nil
}

// matchAny reports whether a glob matches a path, or a folder that it lies in.
func matchAny(globs []string, name string) bool {
	for _, glob := range globs {
		glob = strings.TrimSuffix(strings.TrimPrefix(glob, "./"), "/")
		anywhere := !strings.Contains(glob, "/")
		for at := name; at != "."; at = path.Dir(at) {
			target := at
			if anywhere {
				target = path.Base(at)
			}
			if ok, _ := doublestar.Match(strings.TrimPrefix(glob, "/"), target); ok {
				return true
			}
		}
	}
	return false
}
