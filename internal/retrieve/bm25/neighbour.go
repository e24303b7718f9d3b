package bm25

import (
	"context"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

var _ retrieve.Neighbours = (*Index)(nil)

// Neighbour implements retrieve.Neighbours: a document's passages follow one another
// in its segment.
func (x *Index) Neighbour(ctx context.Context, p retrieve.Passage, step int) (q retrieve.Passage, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return q, false, err
	}
	doc, ok, err := x.number(p)
	if err != nil || !ok {
		return q, false, err
	}
	i, err := x.segmentOf(doc)
	if err != nil {
		return q, false, err
	}
	next := int64(doc) + int64(step)
	if next < int64(x.bases[i]) || next >= int64(x.bases[i])+int64(x.segments[i].docs) || x.segments[i].isDeleted(uint32(next)-x.bases[i]) {
		return q, false, nil
	}
	if q, err = x.Passage(uint32(next)); err != nil {
		return q, false, err
	}
	return q, q.Source == p.Source && document(q) == document(p) && (q.Offset > p.Offset) == (step > 0), nil
}

// number returns the number of a passage that the index returned.
func (x *Index) number(p retrieve.Passage) (doc uint32, ok bool, err error) {
	var found []key
	for i, seg := range x.segments {
		id, named := strings.CutPrefix(p.ID, seg.named)
		if !named {
			continue
		}
		if found, err = seg.keys.find(found[:0], byID, xxhash.Sum64String(id)); err != nil {
			return 0, false, err
		}
		for _, k := range found {
			doc := x.bases[i] + k.start
			q, err := x.Passage(doc)
			if err != nil {
				return 0, false, err
			}
			if !seg.isDeleted(k.start) && q.ID == p.ID && q.Source == p.Source && q.Offset == p.Offset && q.Text == p.Text {
				return doc, true, nil
			}
		}
	}
	return 0, false, nil
}

// document returns the id of a passage's document; that of one which was kept whole is
// the passage's own.
func document(p retrieve.Passage) string { return strings.TrimSuffix(p.ID, offsetSuffix(p.Offset)) }
