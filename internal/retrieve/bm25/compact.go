package bm25

import (
	"context"
	"fmt"
)

// Compact rewrites the index as one segment without its deleted passages.
func Compact(ctx context.Context, dir string) error {
	m, segments, release, err := openForWriting(dir)
	if err != nil {
		return err
	}
	defer release()
	live := uint32(0)
	for _, s := range segments {
		live += s.docs - s.info.DeletedCount
	}
	if len(segments) == 1 && segments[0].info.DeletedCount == 0 {
		return nil
	}
	before := *m
	m.Generation++
	if live == 0 {
		m.Segments = nil
	} else {
		info, err := mergeSegments(ctx, dir, fmt.Sprint(m.Generation), segments, m.ExactLengths)
		if err != nil {
			removeGarbage(dir, &before)
			return diskError(dir, err)
		}
		m.Segments = []segmentInfo{info}
	}
	if err := m.commit(dir); err != nil {
		removeGarbage(dir, &before)
		return diskError(dir, err)
	}
	removeGarbage(dir, m)
	return nil
}
