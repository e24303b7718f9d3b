// Package collection keeps an index in step with the files that it is of: it finds
// them, tells which are new, changed or gone, reads those only, and makes one
// change of the index.
//
// What is read at once has a root: a folder, a file, or standard input. A root has
// a name, which is the last part of its path, or as much of the path as no other
// root has; a source is called by its root's name and its path below the root
// ("notes/ideas/a.md"). So the sources of an index have unique names whatever
// folders they are from. A file has one root only: the outermost.
//
// The index's manifest keeps where its roots are, as paths from the index and as
// absolute ones, so that an index may be moved with its documents or without.
package collection

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// Options say how files are read.
type Options struct {
	Read    corpus.Options
	Chunker *corpus.Chunker
	Index   bm25.BuildOptions
	Strict  bool // the first file that cannot be read ends the update, and changes nothing
	// Kept says that a folder which the index has is found and read as it was before,
	// rather than by Read's fields and rules.
	Kept bool
	// Did, if not nil, hears of every source that changes.
	Did func(Change)

	entered func(dir string) // hears of the folders that are read
}

// Change is what became of one source.
type Change struct {
	What ChangeKind `json:"what"`
	Name string     `json:"source"`
	From string     `json:"from,omitempty"` // its name before, of a renamed one
}

// ChangeKind is what can become of a source.
type ChangeKind string

// The kinds.
const (
	New     ChangeKind = "new"
	Changed ChangeKind = "changed"
	Renamed ChangeKind = "renamed"
	Deleted ChangeKind = "deleted"
	// Kept sources cannot be read now; what was read before stays.
	Kept ChangeKind = "kept"
)

// Report is what an update did.
type Report struct {
	Index     bm25.Stats    `json:"passages"`
	Read      corpus.Report `json:"read"` // of the files that were read
	New       int           `json:"new"`
	Changed   int           `json:"changed"`
	Renamed   int           `json:"renamed"`
	Deleted   int           `json:"deleted"`
	Kept      int           `json:"kept"`
	Unchanged int           `json:"unchanged"` // not read again
	// Missing are the paths of roots that are not there. What was read of them stays:
	// a disk may only be away.
	Missing []string `json:"missing,omitempty"`
}

// Build makes the index of what lies at the paths, in place of the one in dir.
// A path is a file, a folder, or "-" for standard input.
func Build(ctx context.Context, dir string, paths []string, o Options) (*Report, error) {
	w, err := bm25.Create(ctx, dir, o.Index)
	if err != nil {
		return nil, err
	}
	return run(ctx, w, dir, paths, o)
}

// Update brings the index in dir up to date with what lies at the paths, or with
// all that it was made of where there are none. Files that have not changed are
// not read.
func Update(ctx context.Context, dir string, paths []string, o Options) (*Report, error) {
	w, err := bm25.Append(ctx, dir, o.Index)
	if err != nil {
		return nil, err
	}
	return run(ctx, w, dir, paths, o)
}

func run(ctx context.Context, w *bm25.Writer, dir string, paths []string, o Options) (*Report, error) {
	defer w.Close()
	u := &update{ctx: ctx, w: w, o: o, seen: make([]uint64, w.Sources()/64+1), renamed: map[file]string{}, named: map[string]bool{}, report: &Report{}}
	var err error
	if u.places, err = newPlaces(dir, w.Roots()); err != nil {
		return u.report, err
	}
	if err := u.follow(paths); err != nil {
		return u.report, err
	}
	if roots := u.places.all(); !slices.EqualFunc(roots, w.Roots(), sameRoot) {
		w.SetRoots(roots)
	}
	u.report.Index, err = w.Commit()
	return u.report, err
}

// file is how a renamed file is known again.
type file struct {
	size   int64
	digest uint64
}

// update is one call of Build or Update.
type update struct {
	ctx    context.Context
	w      *bm25.Writer
	o      Options
	places *places
	report *Report

	seen    []uint64        // a bit a source of the index that was dealt with
	named   map[string]bool // new sources that may be met again, by their root's reading.Also
	failed  []string        // names of folders that could not be read
	renamed map[file]string // new sources
	recent  []Change        // new sources, until it is known which were renamed
}

// maxRenamed bounds how many new sources are looked at as renamed ones.
const maxRenamed = 1 << 16

func (u *update) did(what ChangeKind, name, from string) {
	switch what {
	case New:
		u.report.New++
	case Changed:
		u.report.Changed++
	case Renamed:
		u.report.Renamed++
	case Deleted:
		u.report.Deleted++
	case Kept:
		u.report.Kept++
	}
	if u.o.Did != nil {
		u.o.Did(Change{what, name, from})
	}
}

// follow reads what lies at the paths.
func (u *update) follow(paths []string) error {
	scopes, err := u.scopes(paths)
	if err != nil {
		return err
	}
	for _, s := range scopes {
		if err := u.scope(s); err != nil {
			return err
		}
	}
	for _, s := range scopes {
		if err := u.removeUnseen(s); err != nil {
			return err
		}
	}
	for _, name := range u.places.dropped {
		if err := u.remove(name); err != nil {
			return err
		}
	}
	for _, c := range u.recent {
		u.did(c.What, c.Name, c.From)
	}
	return nil
}

// scope is a root, or a part of one, that is to be brought up to date.
type scope struct {
	root *root
	sub  string // path below it, with slashes; empty: all of it
}

func (s scope) name() string { return join(s.root.Name, s.sub) }

// scopes finds or makes the roots of the paths.
func (u *update) scopes(paths []string) ([]scope, error) {
	var scopes []scope
	add := func(s scope) {
		if !slices.Contains(scopes, s) {
			scopes = append(scopes, s)
		}
	}
	for _, path := range paths {
		s, err := u.places.find(path)
		if err != nil {
			return nil, err
		}
		add(s)
	}
	if len(paths) == 0 {
		for _, r := range u.places.roots {
			if r.Absolute != "" {
				add(scope{root: r})
			}
		}
		if len(scopes) == 0 {
			return nil, errors.New("the index is of no folder and no file; name one")
		}
	}
	// A root that another path swallowed, or a part of what is read whole.
	return slices.DeleteFunc(scopes, func(s scope) bool {
		return !slices.Contains(u.places.roots, s.root) || s.sub != "" && slices.Contains(scopes, scope{root: s.root})
	}), nil
}

// notThere reports whether an error says that there is no such file.
func notThere(err error) bool { return errors.Is(err, fs.ErrNotExist) }
