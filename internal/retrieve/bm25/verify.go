package bm25

import (
	"context"
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
	return x.Info(), nil
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
