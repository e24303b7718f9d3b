// Package library keeps indexes by name for those who read them while they change: a
// reader holds a snapshot, which stays as it is until the reader lets go; one writer an
// index makes the next; and uploaded files become documents of an index in the
// background.
//
// An index is one that `flashback index` made, named when the library is opened, or one
// that the library made. What is uploaded for it is kept in a folder beside it, and that
// folder is one of the index's roots: `flashback list` shows it, `flashback sync` keeps
// it. For the index notes.index it is notes.uploads. The library's own directory holds
//
//	lock             one library a directory
//	files/ID         what was uploaded, and files/ID.json what is known of it
//	stores/ID.index  indexes that the library made, and stores/ID.uploads
//
// Whatever is not named by a .json is the rest of a process that was killed, and is
// removed when the library is opened.
package library

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"

	"github.com/gofrs/flock"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// What errors of a library may be.
var (
	ErrNotFound = errors.New("there is none of that name")
	// ErrBusy says that an index is being changed; one writer is let in.
	ErrBusy = errors.New("the index is being changed; try again when that is done")
	// ErrGiven says that an index was named when the library was opened: it is not the
	// library's to rename or remove.
	ErrGiven = errors.New("the index was not made here; only its uploads can be changed")
	// ErrNoDir says that the library was given no directory to keep anything in.
	ErrNoDir = errors.New("this library keeps no uploads")
	// ErrTooLarge says that a file is longer than the caller lets it be.
	ErrTooLarge = errors.New("the file is too large")
	// ErrKind says that no reader knows a file's kind.
	ErrKind = errors.New("files of this kind cannot be read")
	// ErrFull says that there are as many of something as may be.
	ErrFull = errors.New("there are too many")
)

// Tokenizer counts the tokens of passages.
type Tokenizer interface {
	corpus.Encoder
	Digest() string
}

// Given is an index that was there before.
type Given struct {
	Name string // as CheckName takes it
	Dir  string // where `flashback index` made it
}

// Options say what a library holds.
type Options struct {
	Indexes []Given
	// Dir is the library's own directory, made if need be; "": nothing can be uploaded and
	// no index made.
	Dir string
	// Tokenizer is the one that passages are cut with.
	Tokenizer Tokenizer
	// Warn, if not nil, hears of what goes wrong with nobody waiting for it.
	Warn func(error)
}

// Library is a set of named indexes. It is safe for use by many goroutines.
type Library struct {
	o       Options
	files   fileStore
	unlock  func() error
	mu      sync.Mutex
	indexes map[string]*index
	shelf   shelf
	jobs    jobs
}

// namePattern is what names of indexes look like: they stand in paths, in addresses and
// behind the '@' of a model's name.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckName refuses what cannot be the name of an index.
func CheckName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("%q is no name for an index: take up to 64 letters, digits, '.', '_' and '-', a letter or digit first", name)
	}
	return nil
}

// Open opens the indexes and goes on with what was left to be done.
func Open(o Options) (l *Library, err error) {
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	l = &Library{o: o, indexes: map[string]*index{}, unlock: func() error { return nil }}
	l.shelf.l = l
	defer func() {
		if err != nil {
			l.shelf.close()
			l.unlock()
			l = nil
		}
	}()
	for _, g := range o.Indexes {
		if err := CheckName(g.Name); err != nil {
			return l, err
		}
		if l.indexes[g.Name] != nil {
			return l, fmt.Errorf("two indexes are called %s", g.Name)
		}
		dir, err := filepath.Abs(g.Dir)
		if err != nil {
			return l, err
		}
		x := newIndex(g.Name, dir)
		for _, other := range l.indexes {
			if other.dir == dir {
				return l, fmt.Errorf("%s and %s are one index; name it once", other.name, x.name)
			}
		}
		l.indexes[g.Name] = x
	}
	if o.Dir != "" {
		if err := l.openDir(); err != nil {
			return l, err
		}
	}
	for name, x := range l.indexes {
		if o.Dir != "" {
			if err := x.readDocuments(); err != nil {
				return l, err
			}
		}
		r, err := l.Acquire(name) // what is damaged is told now rather than to a client
		if err != nil {
			return l, err
		}
		r.Release()
	}
	return l, l.startJobs()
}

// openDir opens the library's own directory, and tidies it.
func (l *Library) openDir() error {
	for _, sub := range []string{"files", "stores"} {
		if err := os.MkdirAll(filepath.Join(l.o.Dir, sub), 0o777); err != nil {
			return err
		}
	}
	lock := flock.New(filepath.Join(l.o.Dir, "lock"))
	ok, err := lock.TryLock()
	if err == nil && !ok {
		err = errors.New("another process has it open")
	}
	if err != nil {
		lock.Close()
		return fmt.Errorf("%s: cannot open the library: %w", l.o.Dir, err)
	}
	l.unlock = lock.Close
	if err := l.files.open(filepath.Join(l.o.Dir, "files")); err != nil {
		return err
	}
	return l.openStores()
}

// Close ends what is under way, which goes on when the library is opened again. Readers
// may let go later.
func (l *Library) Close() error {
	l.stopJobs()
	l.shelf.close()
	return l.unlock()
}

// Names returns the names of all indexes, sorted.
func (l *Library) Names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := make([]string, 0, len(l.indexes))
	for name := range l.indexes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// find returns the index of that name.
func (l *Library) find(name string) (*index, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.indexes[name]; x != nil {
		return x, nil
	}
	return nil, fmt.Errorf("index %q: %w", name, ErrNotFound)
}

// newID returns a name that nobody can guess.
func newID(prefix string) string {
	var b [12]byte
	rand.Read(b[:]) // never fails
	return prefix + hex.EncodeToString(b[:])
}

// Compact rewrites an index without what was deleted of it.
func (l *Library) Compact(ctx context.Context, name string) error {
	return l.write(name, func(x *index) error { return bm25.Compact(ctx, x.dir) })
}

// Verify reads an index whole and checks that its parts agree. Nobody writes it
// meanwhile: what is checked is what stands there.
func (l *Library) Verify(ctx context.Context, name string) (info bm25.Info, err error) {
	err = l.write(name, func(x *index) error {
		info, err = bm25.Verify(ctx, x.dir)
		return err
	})
	return info, err
}

// write lets one change of an index be made, and its readers see it. It waits for
// nobody: where another is at it, it is ErrBusy.
func (l *Library) write(name string, change func(*index) error) error {
	x, err := l.find(name)
	if err != nil {
		return err
	}
	if !x.writing.TryLock() {
		return fmt.Errorf("index %q: %w", name, ErrBusy)
	}
	defer x.writing.Unlock()
	if x.removed {
		return fmt.Errorf("index %q: %w", name, ErrNotFound)
	}
	err = busy(change(x))
	return errors.Join(err, l.shelf.renew(name))
}

// busy tells a writer of another process in the library's words.
func busy(err error) error {
	if errors.Is(err, bm25.ErrLocked) {
		return fmt.Errorf("%w (%w)", ErrBusy, err)
	}
	return err
}
