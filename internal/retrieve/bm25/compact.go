package bm25

import (
	"context"
	"fmt"
)

// Compact rewrites the index as one segment without its deleted passages.
func Compact(ctx context.Context, dir string) error {
	w, err := Append(ctx, dir, BuildOptions{})
	if err != nil {
		return err
	}
	defer w.Close()
	if n := len(w.existing); n == 0 || n == 1 && w.existing[0].info.DeletedCount == 0 {
		return nil
	}
	if err = w.join(0); err == nil {
		err = w.m.commit(dir)
	}
	if err != nil {
		return diskError(dir, err)
	}
	w.done = true
	return nil
}

// maxSegments is how many segments an index has at most: each term of a query is
// looked up in every one.
const maxSegments = 10

// joinSmall joins the last segments where there are too many: as many as are
// together no more than half of the one before them, so that a passage is
// rewritten only some ten times however often an index changes.
func (w *Writer) joinSmall() error {
	segments := w.m.Segments
	if len(segments) <= maxSegments {
		return nil
	}
	from := len(segments) - 1
	size := segments[from].Passages
	for from > 0 && (from >= maxSegments || segments[from-1].Passages <= 2*size) {
		from--
		size += segments[from].Passages
	}
	return w.join(from)
}

// join makes one segment, without their deleted passages, of the change's segments
// from that one on.
func (w *Writer) join(from int) error {
	tail := w.m.Segments[from:]
	live := uint32(0)
	for _, s := range tail {
		live += s.Passages - s.DeletedCount
	}
	w.m.Segments = w.m.Segments[:from:from]
	if live == 0 {
		return nil
	}
	segments, err := openSegments(w.dir, tail, w.m.ExactLengths)
	if err != nil {
		return err
	}
	defer closeAll(segments)
	name := fmt.Sprintf("%d-%d", w.m.Generation, len(w.runs)) // no run has it
	info, err := mergeSegments(w.ctx, w.dir, name, segments, w.m.ExactLengths)
	if err == nil {
		w.m.Segments = append(w.m.Segments, info)
	}
	return err
}
