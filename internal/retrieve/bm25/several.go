package bm25

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Several are indexes that are searched as one: the frequencies of terms and the
// lengths of passages are those of all together, so scores are to the bit those of one
// index of all their documents. Where two might call sources alike, each puts its
// directory before the names of its own.
type Several struct {
	parts  []Part
	joined *Index // of the segments of all
}

// Part is one of the indexes that are searched together. It is not to be searched
// alone.
type Part struct {
	Dir   string // where it was opened
	Index *Index
	named string // what its names have before them
}

var (
	_ retrieve.Retriever  = (*Several)(nil)
	_ retrieve.Neighbours = (*Several)(nil)
	_ retrieve.Coverer    = (*Several)(nil)
)

// ErrAnalyzers says that indexes were not made alike enough to be searched as one.
var ErrAnalyzers = errors.New("indexes that are searched together need one and the same; make one of them again")

// OpenAll opens the indexes in the directories, which must have one analyser.
func OpenAll(dirs []string, opt Options) (*Several, error) { return OpenNamed(dirs, nil, opt) }

// OpenNamed is OpenAll for indexes that have names of their own, which stand before those
// of sources in place of directories.
func OpenNamed(dirs, names []string, opt Options) (s *Several, err error) {
	if len(dirs) == 0 {
		return nil, errors.New("no index is named")
	}
	if names == nil {
		names = dirs
	}
	s = &Several{}
	defer func() {
		if err != nil {
			s.Close()
			s = nil
		}
	}()
	for i, dir := range dirs {
		dir = filepath.Clean(dir)
		if slices.ContainsFunc(s.parts, func(p Part) bool { return p.Dir == dir }) {
			return s, fmt.Errorf("the index %s is named twice", dir)
		}
		x, err := Open(dir, opt)
		if err != nil {
			return s, err
		}
		s.parts = append(s.parts, Part{Dir: dir, Index: x, named: filepath.ToSlash(filepath.Clean(names[i])) + "/"})
		if first := s.parts[0].Index.manifest.Analyzer; x.manifest.Analyzer != first {
			return s, fmt.Errorf("%s was made with --analyzer %s and %s with %s: %w", names[0], first, names[i], x.manifest.Analyzer, ErrAnalyzers)
		}
	}
	return s, s.join(opt)
}

// join makes one index of all segments.
func (s *Several) join(opt Options) error {
	if len(s.parts) == 1 || !s.clash() {
		for i := range s.parts {
			s.parts[i].named = ""
		}
	}
	if s.joined = s.parts[0].Index; len(s.parts) == 1 {
		return nil
	}
	s.joined = newIndex(s.joined.dir)
	s.joined.manifest = s.parts[0].Index.manifest
	for _, p := range s.parts {
		for _, seg := range p.Index.segments {
			seg.named = p.named
			s.joined.segments = append(s.joined.segments, seg)
		}
	}
	return s.joined.bind(opt)
}

// clash reports whether two indexes may have a source of the same name: names begin
// with those of roots, and what has no root may be called anything.
func (s *Several) clash() bool {
	var names []string
	for _, p := range s.parts {
		roots := p.Index.manifest.Roots
		if len(roots) == 0 && len(p.Index.segments) > 0 {
			return true
		}
		for _, r := range roots {
			if slices.ContainsFunc(names, func(n string) bool { return inside(n, r.Name) || inside(r.Name, n) }) {
				return true
			}
		}
		for _, r := range roots {
			names = append(names, r.Name)
		}
	}
	return false
}

// inside reports whether a name is another's or begins with it.
func inside(outer, name string) bool {
	return name == outer || strings.HasPrefix(name, outer+"/")
}

// Close gives the files of all back. No search may be under way.
func (s *Several) Close() error {
	var errs []error
	for _, p := range s.parts {
		errs = append(errs, p.Index.Close())
	}
	return errors.Join(errs...)
}

// Parts returns the indexes, in the order in which they were named.
func (s *Several) Parts() []Part { return s.parts }

// Analyzer names the analyser of all.
func (s *Several) Analyzer() string { return s.joined.manifest.Analyzer }

// Retrieve implements retrieve.Retriever.
func (s *Several) Retrieve(ctx context.Context, q retrieve.Query) ([]retrieve.Passage, error) {
	return s.joined.Retrieve(ctx, q)
}

// Neighbour implements retrieve.Neighbours.
func (s *Several) Neighbour(ctx context.Context, p retrieve.Passage, step int) (retrieve.Passage, bool, error) {
	return s.joined.Neighbour(ctx, p, step)
}

// Covered implements retrieve.Coverer.
func (s *Several) Covered(question string, p retrieve.Passage) (float64, error) {
	return s.joined.Covered(question, p)
}

// Search is Index.Search in all.
func (s *Several) Search(q retrieve.Query, dst []Hit) ([]Hit, SearchStats, error) {
	return s.joined.Search(q, dst)
}

// Passage is Index.Passage, by the numbers that Search returns.
func (s *Several) Passage(doc uint32) (retrieve.Passage, error) { return s.joined.Passage(doc) }

// Of returns the number of the part that a source is of and its name there; ok is
// false for one of none of them.
func (s *Several) Of(source string) (part int, name string, ok bool) {
	for i, p := range s.parts {
		name, has := strings.CutPrefix(source, p.named)
		if has && (p.named != "" || len(s.parts) == 1) {
			return i, name, true
		}
		if has && slices.ContainsFunc(p.Index.manifest.Roots, func(r Root) bool { return inside(r.Name, name) }) {
			return i, name, true
		}
	}
	return 0, "", false
}

// KeyOf returns the part that a passage is of, which all of these found, and its key
// there; ok is false for one of none of them.
func (s *Several) KeyOf(p retrieve.Passage) (part int, k Key, ok bool) {
	part, source, ok := s.Of(p.Source)
	if !ok {
		return 0, Key{}, false
	}
	p.Source, p.ID = source, strings.TrimPrefix(p.ID, s.parts[part].named)
	return part, KeyOf(p), true
}
