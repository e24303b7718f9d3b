package bm25

import (
	"context"
	"iter"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Add adds passages to the index in dir. What the index had of their sources goes.
func Add(ctx context.Context, dir string, passages iter.Seq2[retrieve.Passage, error], opt BuildOptions) (Stats, error) {
	w, err := Append(ctx, dir, opt)
	if err != nil {
		return Stats{}, err
	}
	return w.addAll(passages)
}

// Delete deletes the passages with the given ids and all passages of the given
// sources, and returns how many there were.
func Delete(ctx context.Context, dir string, ids, sources []string) (int, error) {
	w, err := Append(ctx, dir, BuildOptions{})
	if err != nil {
		return 0, err
	}
	defer w.Close()
	for _, id := range ids {
		w.RemoveID(id)
	}
	for _, name := range sources {
		if err := w.Remove(name); err != nil {
			return 0, err
		}
	}
	stats, err := w.Commit()
	return stats.Deleted, err
}
