package collection

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// NotFoundError says that an index has nothing of a name, and what it has that is
// called alike.
type NotFoundError struct {
	Name string
	Near []string
}

func (e *NotFoundError) Error() string {
	if len(e.Near) == 0 {
		return fmt.Sprintf("the index has no file, folder or passage %q", e.Name)
	}
	return fmt.Sprintf("the index has no file, folder or passage %q; did you mean %s?", e.Name, quoted(e.Near))
}

func quoted(names []string) string {
	var q []string
	for _, n := range names {
		q = append(q, fmt.Sprintf("%q", n))
	}
	return strings.Join(q, " or ")
}

// Delete deletes sources from the index in dir, and returns how many went and how
// many passages. A name is a source's or a folder's as the index has it, with or
// without its root, a path of one, a glob ("*.md", "drafts/**"), or a passage's id.
// Nothing is deleted where one of the names means nothing, a *NotFoundError, or
// more than one thing.
func Delete(ctx context.Context, dir string, names []string) (sources int, stats bm25.Stats, err error) {
	w, err := bm25.Append(ctx, dir, bm25.BuildOptions{})
	if err != nil {
		return 0, stats, err
	}
	defer w.Close()
	p, err := newPlaces(dir, w.Roots())
	if err != nil {
		return 0, stats, err
	}
	u := &update{ctx: ctx, w: w, places: p, seen: make([]uint64, w.Sources()/64+1), report: &Report{}}
	for _, name := range names {
		if err := u.delete(name); err != nil {
			return 0, stats, err
		}
	}
	if roots := p.all(); len(roots) < len(w.Roots()) {
		w.SetRoots(roots)
	}
	stats, err = w.Commit()
	return u.report.Deleted, stats, err
}

// delete deletes what one name means.
func (u *update) delete(name string) error {
	known, err := u.meanings(name)
	switch {
	case err != nil:
		return err
	case len(known) > 1:
		return fmt.Errorf("%q may be %s; say which", name, quoted(known))
	case len(known) == 1:
		u.places.roots = slices.DeleteFunc(u.places.roots, func(r *root) bool { return r.Name == known[0] })
		return u.remove(known[0])
	}
	if has, err := u.w.HasID(name); err != nil || has {
		u.w.RemoveID(name)
		return err
	}
	near := nearest{name: strings.ToLower(path.Base(filepath.ToSlash(name)))}
	glob := strings.ContainsAny(name, "*?[{") && doublestar.ValidatePattern(name)
	matched := false
	for at := range u.w.Sources() {
		s, err := u.w.Source(at)
		if err != nil {
			return err
		}
		if !glob {
			near.add(s.Name)
			continue
		}
		if u.matches(name, s.Name) {
			matched = true
			if u.see(at) {
				if err := u.gone(s); err != nil {
					return err
				}
			}
		}
	}
	if !matched {
		return &NotFoundError{name, near.best}
	}
	return nil
}

// meanings returns the names of sources, or of folders of them, that name may
// stand for.
func (u *update) meanings(name string) (known []string, err error) {
	note := func(name string) error {
		has := false
		err := u.each(name, func(int, bm25.Source) error { has = true; return io.EOF })
		if has && !slices.Contains(known, name) {
			known = append(known, name)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	plain := strings.TrimSuffix(filepath.ToSlash(name), "/")
	if err := note(plain); err != nil || len(known) > 0 {
		return known, err
	}
	if absolute, err := filepath.Abs(name); err == nil {
		real := withoutLinks(absolute)
		for _, r := range u.places.roots {
			if sub, inside := below(r.real, real); inside && r.path != "" {
				if err := note(join(r.Name, sub)); err != nil {
					return nil, err
				}
			}
		}
	}
	if len(known) > 0 {
		return known, nil
	}
	for _, r := range u.places.roots {
		if err := note(join(r.Name, plain)); err != nil {
			return nil, err
		}
	}
	return known, nil
}

// matches reports whether a glob is of a source: one without a slash of its last
// name, one with a slash of its name, with or without its root's.
func (u *update) matches(glob, name string) bool {
	targets := []string{name}
	if !strings.Contains(glob, "/") {
		targets = []string{path.Base(name)}
	}
	for _, r := range u.places.roots {
		if sub, in := within(r.Name, name); in && sub != "" && len(targets) == 1 && targets[0] == name {
			targets = append(targets, sub)
		}
	}
	return slices.ContainsFunc(targets, func(target string) bool {
		ok, _ := doublestar.Match(glob, target)
		return ok
	})
}

// nearest gathers the names whose last part is most like that of a name.
type nearest struct {
	name string // lower case
	best []string
	cost int
}

// maxNear is how many names are offered.
const maxNear = 3

func (n *nearest) add(name string) {
	last := strings.ToLower(path.Base(name))
	cost := distance(n.name, last)
	if cost > max(2, len(n.name)/3) {
		return
	}
	if len(n.best) == 0 || cost < n.cost {
		n.best, n.cost = nil, cost
	}
	if cost == n.cost && len(n.best) < maxNear {
		n.best = append(n.best, name)
	}
}

// distance is how many letters must be put in, left out or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := corner
			if a[i] != b[j] {
				cost++
			}
			corner = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
