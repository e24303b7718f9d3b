package bm25

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
)

// manifestHead is how a manifest begins, of whatever format.
var manifestHead = regexp.MustCompile(`^\s*\{\s*"manifest"\s*:\s*\{\s*"format"\s*:`)

// IsIndex reports whether the directory holds an index, be it damaged or of another
// format.
func IsIndex(dir string) bool {
	f, err := os.Open(filepath.Join(dir, manifestName))
	if err != nil {
		return false
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, 256))
	return err == nil && manifestHead.Match(head)
}
