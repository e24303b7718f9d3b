package bm25

import (
	"context"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Verify reads every file of the index in dir whole and checks that its parts
// agree.
func Verify(ctx context.Context, dir string) (Info, error) {
	x, err := Open(dir, Options{})
	if err != nil {
		return Info{}, err
	}
	defer x.Close()
	for _, s := range x.segments {
		if err := s.verify(ctx); err != nil {
			return Info{}, fmt.Errorf("%s: %w", dir, err)
		}
	}
	if err := x.verifySources(ctx); err != nil {
		return Info{}, fmt.Errorf("%s: %w", dir, err)
	}
	return x.Info(), nil
}

// verifySources checks that the list of sources is sorted and counts the passages
// of each.
func (x *Index) verifySources(ctx context.Context) error {
	t := x.sources
	if _, err := t.file.all(); err != nil {
		return err
	}
	counts := make([]uint32, t.n)
	last, at := "", 0
	for _, s := range x.segments {
		for i := range s.stored.blocks {
			if err := ctx.Err(); err != nil {
				return err
			}
			var failed error
			err := s.stored.each(i, func(doc uint32, p retrieve.Passage) bool {
				if p.Source == "" || s.isDeleted(doc) {
					return true
				}
				if p.Source != last {
					ok := false
					if at, _, ok, failed = t.find(p.Source); failed == nil && !ok {
						failed = damagedf(t.file.path, "%s is not listed", p.Source)
					}
					last = p.Source
				}
				if failed == nil {
					counts[at]++
				}
				return failed == nil
			})
			if err = errors.Join(err, failed); err != nil {
				return err
			}
		}
	}
	i, before := 0, ""
	for s, err := range t.all() {
		switch {
		case err != nil:
			return err
		case s.what != listed || i > 0 && s.Name <= before:
			return damagedf(t.file.path, "%s is out of order", s.Name)
		case uint32(s.Passages) != counts[i]:
			return damagedf(t.file.path, "%s has %d passages, not %d", s.Name, counts[i], s.Passages)
		}
		i, before = i+1, s.Name
	}
	return nil
}

func (s *segment) verify(ctx context.Context) error {
	for _, f := range s.files {
		if _, err := f.all(); err != nil {
			return err
		}
	}
	if err := s.verifyPostings(ctx); err != nil {
		return err
	}
	for i := range s.stored.blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		var failed error
		err := s.stored.each(i, func(doc uint32, p retrieve.Passage) bool {
			failed = s.verifyKey(doc, &p)
			return failed == nil
		})
		if err != nil {
			return err
		}
		if failed != nil {
			return failed
		}
	}
	return nil
}

// verifyPostings decodes every list and compares its sums with the lengths.
func (s *segment) verifyPostings(ctx context.Context) error {
	c, err := newTermCursor(0, s)
	var total uint64
	var list postings
	for more := c != nil; more && err == nil; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := list.open(s, c.at); err != nil {
			return err
		}
		err := list.each(func(doc uint32, p pair) error {
			if p.length != s.length(doc) {
				return damagedf(s.postings.path, "term %q: passage %d has length %d, not %d", c.term, doc, s.length(doc), p.length)
			}
			total += uint64(p.tf)
			return nil
		})
		if err != nil {
			return err
		}
		if more, err = c.next(); err != nil {
			return err
		}
	}
	if err == nil && total != s.info.Terms {
		err = damagedf(s.postings.path, "%d occurrences, the manifest says %d", total, s.info.Terms)
	}
	return err
}

// verifyKey checks that a passage is found by its id.
func (s *segment) verifyKey(doc uint32, p *retrieve.Passage) error {
	found, err := s.keys.find(nil, byID, xxhash.Sum64String(p.ID))
	if err != nil {
		return err
	}
	for _, k := range found {
		if k.start <= doc && doc < k.end {
			return nil
		}
	}
	return damagedf(s.keys.file.path, "passage %d (%s) is not found by its id", doc, p.ID)
}
