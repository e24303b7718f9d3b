package bm25

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/gofrs/flock"
)

// commit makes m the index: it syncs the directory, so that the files that m
// names are there, replaces the manifest and syncs again.
func (m *manifest) commit(dir string) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(envelope{body, crc32.Checksum(body, castagnoli)}, "", " ")
	if err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, manifestName)
	f, err := os.Create(path + tempSuffix)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(path+tempSuffix, path)
	}
	if err != nil {
		os.Remove(path + tempSuffix)
		return err
	}
	return syncDir(dir)
}

// lockIndex keeps other writers out until the lock is released. It makes the
// directory if need be.
func lockIndex(dir string) (*flock.Flock, error) {
	if err := checkPlace(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	l := flock.New(filepath.Join(dir, lockName))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("%s: cannot lock the index for writing: %w", dir, err)
	}
	if !ok {
		return nil, fmt.Errorf("%s: another process is writing this index; try again when it is done", dir)
	}
	return l, nil
}

// ownFile matches the names that an index gives to its files.
var ownFile = regexp.MustCompile(`^(manifest\.json|lock|\d+(-\d+)?\.(terms|postings|lengths|passages|keys|deleted|seen))(\.tmp)?$`)

// checkPlace refuses a directory with anything else in it, so that an index is
// never strewn among a user's files.
func checkPlace(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !ownFile.MatchString(e.Name()) {
			return fmt.Errorf("%s: the directory holds other files (%s); name a new or empty one for the index", dir, e.Name())
		}
	}
	return nil
}

// removeGarbage removes files that the manifest does not name: what a killed
// writer left, and what a change made useless. Files that a reader still maps
// stay readable to it, or, where the system forbids their removal, until the
// next change.
func removeGarbage(dir string, m *manifest) {
	keep := map[string]bool{manifestName: true, lockName: true}
	if m != nil {
		for _, s := range m.Segments {
			keep[s.Deleted] = true
			for ext := range s.Files {
				keep[s.Name+ext] = true
			}
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if name := e.Name(); !keep[name] && ownFile.MatchString(name) && !strings.HasPrefix(name, lockName) {
			os.Remove(filepath.Join(dir, name))
		}
	}
}
