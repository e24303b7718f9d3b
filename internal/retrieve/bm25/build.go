package bm25

import (
	"context"
	"iter"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Build makes the index of passages in dir, in place of the one there.
func Build(ctx context.Context, dir string, passages iter.Seq2[retrieve.Passage, error], opt BuildOptions) (Stats, error) {
	w, err := Create(ctx, dir, opt)
	if err != nil {
		return Stats{}, err
	}
	return w.addAll(passages)
}

// addAll adds the passages and commits.
func (w *Writer) addAll(passages iter.Seq2[retrieve.Passage, error]) (Stats, error) {
	defer w.Close()
	for p, err := range passages {
		if err == nil {
			err = w.Add(p)
		}
		if err != nil {
			return w.stats, err
		}
	}
	return w.Commit()
}
