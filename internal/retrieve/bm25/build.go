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

// Empty makes an index without passages in dir, in place of the one there, for sources
// that are yet to come.
func Empty(ctx context.Context, dir string, opt BuildOptions) error {
	w, err := Create(ctx, dir, opt)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.write(); err != nil {
		return diskError(dir, err)
	}
	w.done = true
	return nil
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
