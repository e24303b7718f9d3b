package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/indexcache"
	"github.com/flashback-lm/flashback/internal/progress"
	"github.com/flashback-lm/flashback/internal/terminal"
)

// keptIndex returns the directory of the index that is kept of documents, which it
// makes if need be, and says so on out.
func keptIndex(ctx context.Context, l *indexcache.Documents, model string, again bool, out, log io.Writer) (string, error) {
	bar := progress.New(log, "indexing", -1, true)
	defer bar.Finish()
	start, counted := time.Now(), int64(0)
	var report corpus.Report
	index, err := l.Index(ctx, again, flashback.IndexOptions{
		Model:   model,
		Skipped: report.Add,
		Progress: func(_ int, bytes int64) {
			bar.Add(int(bytes - counted))
			counted = bytes
		},
	})
	bar.Finish()
	if errors.Is(err, context.Canceled) {
		return "", errInterrupted
	}
	printReport(log, &report)
	if err != nil {
		return "", fmt.Errorf("cannot index %s: %w", l.Name, err)
	}
	fmt.Fprintf(out, "Index: %s passages of %s", humanize.Comma(int64(index.Passages)), terminal.Line(l.Name))
	if index.Made {
		fmt.Fprintf(out, ", made in %.1f s", time.Since(start).Seconds())
	}
	fmt.Fprintln(out)
	return index.Dir, nil
}
