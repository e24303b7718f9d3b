package bm25

import (
	"github.com/cespare/xxhash/v2"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Key tells a passage by what it and its source are called, whatever else the index
// comes to hold.
type Key struct {
	ID, Source uint64 // XXH64 of both names
}

// KeyOf returns a passage's key.
func KeyOf(p retrieve.Passage) Key { return Key{keyHash(byID, &p), keyHash(bySource, &p)} }

// Find returns the passage with a key, without a score, and whether there is one.
func (x *Index) Find(want Key) (p retrieve.Passage, ok bool, err error) {
	var found []key
	for i, seg := range x.segments {
		if found, err = seg.keys.find(found[:0], byID, want.ID); err != nil {
			return p, false, err
		}
		for _, k := range found {
			if seg.isDeleted(k.start) {
				continue
			}
			p, err := x.Passage(x.bases[i] + k.start)
			if err != nil {
				return p, false, err
			}
			if xxhash.Sum64String(p.Source) == want.Source {
				return p, true, nil
			}
		}
	}
	return retrieve.Passage{}, false, nil
}
