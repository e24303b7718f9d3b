// Package folder finds the files of a folder that are documents: what git would
// not ignore, what is not hidden, and each file once however links lead to it.
package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// Options say what of a folder is left out.
type Options struct {
	NoIgnore bool // read what ignore files name, too
	// Include and Exclude are globs ("*.md", "drafts/**", "{a,b}/*.txt"). One without
	// a slash is of a name at any depth, one with a slash of a path below the folder;
	// either takes what lies in a folder that it matches. If there are any to include,
	// only what they match is read.
	Include, Exclude []string
	// Skip, where it is not nil, tells of folders that are not to be entered.
	Skip func(path string) bool
}

// Check returns an error for a glob that is none.
func (o Options) Check() error { return checkGlobs(o.Include, o.Exclude) }

// File is one file to be read.
type File struct {
	Path string      // to open it
	Name string      // its path below the root, with slashes
	Info fs.FileInfo // of what it is a link to, if it is one
}

// Error says what of a folder could not be read; the rest can.
type Error struct {
	Name string // as in File
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Name, e.Err) }

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// Files yields the files below root, which may be a symbolic link, folder by
// folder in lexical order. Links are followed at the end, where what they lead to
// is not read under its own name; one that leads nowhere, or to a folder that
// holds root, is an *Error. Any other error ends the iteration.
func Files(root string, o Options) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		w := &walk{options: o, yield: yield, entered: map[string]*level{}, linked: map[string]bool{}}
		if err := w.root(root); err != nil && !errors.Is(err, errStopped) {
			yield(File{}, err)
		}
	}
}

// errStopped says that the iteration was left.
var errStopped = errors.New("stopped")

// walk is one iteration.
type walk struct {
	options Options
	yield   func(File, error) bool
	real    string            // the root without links
	entered map[string]*level // by path without links
	linked  map[string]bool   // files that were read by a link, by path without links
	links   []link            // still to be followed
	files   int               // that were yielded
	left    int               // what ignore files and globs left out, folders whole
}

// link is a symbolic link that was met.
type link struct {
	in   *level
	name string // last name
}

func (w *walk) root(root string) error {
	if err := w.options.Check(); err != nil {
		return err
	}
	absolute, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	if w.real, err = filepath.EvalSymlinks(absolute); err != nil {
		return err
	}
	top := &level{path: root, real: w.real}
	if !w.options.NoIgnore {
		if top.above, err = aboveRoot(w.real); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	if err := w.enter(top, entries); err != nil {
		return err
	}
	for len(w.links) > 0 { // those behind a link are added meanwhile
		next := w.links[0]
		w.links = w.links[1:]
		if err := w.follow(next); err != nil {
			return err
		}
	}
	if w.files == 0 && w.left > 0 {
		return w.fail(".", fmt.Errorf("its %d files and folders are left out by ignore files or globs", w.left))
	}
	return nil
}

// fail reports what could not be read.
func (w *walk) fail(name string, err error) error {
	if !w.yield(File{}, &Error{name, withoutPath(err)}) {
		return errStopped
	}
	return nil
}

// enter yields what a folder holds.
func (w *walk) enter(l *level, entries []fs.DirEntry) error {
	w.entered[l.real] = l
	if !w.options.NoIgnore {
		var err error
		if l.own, err = readPatterns(l.path); err != nil {
			return w.fail(l.child("."), err) // reading it might show what is not meant to be read
		}
	}
	for _, e := range entries {
		var err error
		switch name := e.Name(); {
		case e.Type()&fs.ModeSymlink != 0:
			w.links = append(w.links, link{l, name})
		case w.leavesOut(l, name, e.IsDir()):
		case e.IsDir():
			err = w.folder(l, name, filepath.Join(l.real, name))
		case e.Type().IsRegular():
			err = w.file(l, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// folder enters the folder of that name in l.
func (w *walk) folder(l *level, name, real string) error {
	below := &level{parent: l, path: filepath.Join(l.path, name), name: l.child(name), real: real}
	if w.options.Skip != nil && w.options.Skip(below.path) {
		return nil
	}
	entries, err := os.ReadDir(below.path)
	if err != nil {
		return w.fail(below.name, err)
	}
	return w.enter(below, entries)
}

// file yields the file of that name in l.
func (w *walk) file(l *level, name string) error {
	f := File{Path: filepath.Join(l.path, name), Name: l.child(name)}
	var err error
	if f.Info, err = os.Stat(f.Path); err != nil {
		return w.fail(f.Name, err)
	}
	w.files++
	if !w.yield(f, nil) {
		return errStopped
	}
	return nil
}

// follow reads what a link leads to, if nothing else did.
func (w *walk) follow(k link) error {
	real, err := filepath.EvalSymlinks(filepath.Join(k.in.path, k.name))
	var info fs.FileInfo
	if err == nil {
		info, err = os.Stat(real)
	}
	// A pattern for folders hits no link in git; a person who writes "data/" means it.
	if w.leavesOut(k.in, k.name, err != nil || info.IsDir()) {
		return nil
	}
	if err != nil {
		return w.fail(k.in.child(k.name), fmt.Errorf("a link that leads nowhere: %w", withoutPath(err)))
	}
	switch {
	case info.IsDir():
		if w.entered[real] != nil {
			return nil
		}
		if w.real == real || strings.HasPrefix(w.real, strings.TrimSuffix(real, string(filepath.Separator))+string(filepath.Separator)) {
			return w.fail(k.in.child(k.name), errors.New("a link to a folder that holds this one; it is not followed"))
		}
		return w.folder(k.in, k.name, real)
	case info.Mode().IsRegular():
		dir := w.entered[filepath.Dir(real)]
		if w.linked[real] || dir != nil && !w.leavesOut(dir, filepath.Base(real), false) {
			return nil
		}
		w.linked[real] = true
		return w.file(k.in, k.name)
	}
	return nil
}

// withoutPath drops what the message names already.
func withoutPath(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// leavesOut reports whether what has that name in l is not to be read: it is
// hidden, a lock of an open document, ignored, or the globs are against it.
func (w *walk) leavesOut(l *level, name string, isDir bool) bool {
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "~$") {
		return true
	}
	path := l.child(name)
	if !w.options.NoIgnore && l.ignores(name, isDir) || matchAny(w.options.Exclude, path) ||
		!isDir && len(w.options.Include) > 0 && !matchAny(w.options.Include, path) {
		w.left++
		return true
	}
	return false
}
