package bm25

import (
	"context"
	"iter"
	"slices"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// openForWriting locks an index and opens its segments.
func openForWriting(dir string) (m *manifest, segments []*segment, release func(), err error) {
	if _, err := readManifest(dir); err != nil {
		return nil, nil, nil, err
	}
	lock, err := lockIndex(dir)
	if err != nil {
		return nil, nil, nil, err
	}
	release = func() {
		closeAll(segments)
		lock.Unlock()
	}
	if m, err = readManifest(dir); err == nil {
		segments, err = openSegments(dir, m)
	}
	if err != nil {
		release()
		return nil, nil, nil, err
	}
	removeGarbage(dir, m)
	return m, segments, release, nil
}

func openSegments(dir string, m *manifest) (segments []*segment, err error) {
	for _, info := range m.Segments {
		s, err := openSegment(dir, info, m.ExactLengths)
		if err != nil {
			closeAll(segments)
			return nil, err
		}
		segments = append(segments, s)
	}
	return segments, nil
}

func closeAll(segments []*segment) {
	for _, s := range segments {
		s.close()
	}
}

// Add appends passages to the index in dir as a new segment. A passage whose
// title and text are there already is left out; one whose id is there already
// replaces the older one.
func Add(ctx context.Context, dir string, passages iter.Seq2[retrieve.Passage, error], opt BuildOptions) (Stats, error) {
	m, segments, release, err := openForWriting(dir)
	if err != nil {
		return Stats{}, err
	}
	defer release()
	opt.Analyzer, opt.ExactLengths, opt.IndexTitle = m.Analyzer, m.ExactLengths, m.IndexTitle
	opt.setDefaults()
	before := *m
	before.Segments = slices.Clone(m.Segments)
	stats, err := writePassages(ctx, dir, m, segments, passages, opt)
	if err != nil {
		removeGarbage(dir, &before)
		return stats, err
	}
	removeGarbage(dir, m)
	return stats, nil
}
