package bm25

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Stamp tells whether an index was changed, without opening it: a change puts another
// file in the manifest's place.
type Stamp struct{ manifest os.FileInfo }

// StampOf returns the stamp of the index in dir.
func StampOf(dir string) (Stamp, error) {
	info, err := os.Stat(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s: %w", dir, ErrNoIndex)
	}
	return Stamp{info}, err
}

// Same reports whether the index was not changed between two stamps.
func (s Stamp) Same(t Stamp) bool {
	return os.SameFile(s.manifest, t.manifest) && s.manifest.ModTime().Equal(t.manifest.ModTime()) && s.manifest.Size() == t.manifest.Size()
}

// Time returns when the last change was made.
func (s Stamp) Time() time.Time { return s.manifest.ModTime() }
