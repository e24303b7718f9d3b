package main

import (
	"slices"

	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/server"
)

// namedIndexes are the indexes that serve was given.
type namedIndexes struct{ names, dirs []string }

// library returns the indexes, or nil where there are none. Each is opened once: what is
// wrong with one is told now.
func (f *serveFlags) library() (server.Library, error) {
	l := &namedIndexes{}
	for _, named := range f.indexes {
		name, dir, err := nameAndDir("index", named)
		if err != nil {
			return nil, err
		}
		if slices.Contains(l.names, name) {
			return nil, usagef("--index %s: the name is given twice", named)
		}
		l.names, l.dirs = append(l.names, name), append(l.dirs, dir)
		r, err := l.Acquire(name)
		if err != nil {
			return nil, err
		}
		r.Release()
	}
	if len(l.names) == 0 {
		return nil, nil
	}
	return l, nil
}

// Names implements server.Library.
func (l *namedIndexes) Names() []string { return l.names }

// Acquire implements server.Library.
func (l *namedIndexes) Acquire(names ...string) (server.Reading, error) {
	var dirs []string
	for _, name := range names {
		dirs = append(dirs, l.dirs[slices.Index(l.names, name)])
	}
	s, err := bm25.OpenAll(dirs, bm25.Options{})
	if err != nil {
		return nil, err
	}
	return opened{s, names}, nil
}

// opened are indexes that a request looks passages up in.
type opened struct {
	*bm25.Several
	names []string
}

// Cite implements server.Reading.
func (o opened) Cite(p retrieve.Passage) (index, id string) {
	part, _, ok := o.Of(p.Source)
	if !ok {
		return "", ""
	}
	return o.names[part], p.ID
}

// Release implements server.Reading.
func (o opened) Release() { o.Close() }
