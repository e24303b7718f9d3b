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

// lockIndex keeps other writers out until unlock is called. It makes the directory
// if need be, and unlock removes it again where no index came of it.
func lockIndex(dir string) (unlock func(), err error) {
	if err := checkPlace(dir); err != nil {
		return nil, err
	}
	made, err := makeDir(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, lockName)
	l := flock.New(path)
	ok, err := l.TryLock()
	if err == nil && ok {
		ok, err = sameFile(l, path)
	}
	if err != nil {
		l.Close()
		removeEmpty(made)
		return nil, fmt.Errorf("%s: cannot lock the index for writing: %w", dir, err)
	}
	if !ok {
		l.Close()
		return nil, fmt.Errorf("%s: %w", dir, ErrLocked)
	}
	return func() {
		_, err := os.Stat(filepath.Join(dir, manifestName))
		if errors.Is(err, fs.ErrNotExist) {
			os.Remove(path) // whoever opened it meanwhile finds that it is another
			defer removeEmpty(made)
		}
		l.Unlock()
	}, nil
}

// sameFile reports whether path still names the locked file: a writer that ended
// in between may have removed it.
func sameFile(l *flock.Flock, path string) (bool, error) {
	locked, err := l.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(locked, there), err
}

// makeDir makes a directory and those above it, and returns those that were
// missing, the innermost first.
func makeDir(dir string) (made []string, err error) {
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := os.Lstat(at); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = append(made, at)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		removeEmpty(made)
		return nil, err
	}
	return made, nil
}

// removeEmpty removes directories as far as they are empty.
func removeEmpty(dirs []string) {
	for _, dir := range dirs {
		os.Remove(dir) // fails where something else is in it, and should
	}
}

// ownFile matches the names that an index gives to its files.
var ownFile = regexp.MustCompile(`^(manifest\.json|lock|\d+(-\d+)?\.(terms|postings|lengths|passages|keys|deleted|sources))(\.tmp)?$`)

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
		keep[m.Sources] = true
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
