// Package atomicfile writes files that are seen whole or not at all: to a
// temporary name beside the target, synced, then renamed over it.
package atomicfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Write fills path with what fill writes. When it returns an error, what stood
// at path before still stands and nothing else is left behind.
func Write(path string, fill func(w io.Writer) error) (err error) {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+name+".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := fill(f); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil { // CreateTemp gives 0600
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return Rename(f.Name(), path)
}

// Rename moves a synced file over path and syncs the directory, so that the new
// name survives a power failure where the system can promise that.
func Rename(from, path string) error {
	if err := os.Rename(from, path); err != nil {
		return err
	}
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		d.Sync() // not every system can sync a directory; the rename itself stands
		d.Close()
	}
	return nil
}

// NewDir makes the directory dir with the files that fill puts into the one that it
// is given, whole or not at all. What stands at dir, unless it is empty, is an error.
func NewDir(dir string, fill func(fresh string) error) error {
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".tmp-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)                      // nothing is left there after the rename
	if err := os.Chmod(fresh, 0o755); err != nil { // MkdirTemp gives 0700
		return err
	}
	if err := fill(fresh); err != nil {
		return err
	}
	return Rename(fresh, dir)
}

// ReplaceDir is NewDir where something may stand at dir, which the new directory then
// replaces. When it returns an error, what stood at dir still stands; where the program
// is killed between the two renames, it stands beside it, as .NAME.tmp-….old.
func ReplaceDir(dir string, fill func(fresh string) error) error {
	old := ""
	err := NewDir(dir, func(fresh string) error {
		if err := fill(fresh); err != nil {
			return err
		}
		// A directory cannot be renamed over another that is not empty.
		old = fresh + ".old"
		if err := os.Rename(dir, old); err != nil {
			old = ""
			if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	})
	switch {
	case old == "":
		return err
	case err != nil:
		return errors.Join(err, os.Rename(old, dir))
	}
	os.RemoveAll(old) // in nobody's way if it stays
	return nil
}

// WriteBytes writes b to path.
func WriteBytes(path string, b []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// WriteJSON writes each value, indented, to the file of its name in dir.
func WriteJSON(dir string, files map[string]any) error {
	for name, v := range files {
		if err := Write(filepath.Join(dir, name), func(w io.Writer) error {
			out := json.NewEncoder(w)
			out.SetIndent("", " ")
			return out.Encode(v)
		}); err != nil {
			return err
		}
	}
	return nil
}

// Exactly fills out with what fill writes, and returns an error where that is not size
// bytes.
func Exactly(out io.Writer, size int, fill func(w io.Writer) error) error {
	c := &counter{out: out}
	if err := fill(c); err != nil {
		return err
	}
	if c.n != size {
		return fmt.Errorf("%d bytes instead of %d", c.n, size)
	}
	return nil
}

// counter counts the bytes written.
type counter struct {
	out io.Writer
	n   int
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.out.Write(p)
	c.n += n
	return n, err
}
