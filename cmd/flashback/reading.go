package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/progress"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/terminal"
)

// checkPaths returns an error for a path that is not there or that holds an index.
func checkPaths(paths []string) error {
	for _, path := range paths {
		if path == "-" {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("cannot read the documents: %w", err)
		}
		if bm25.IsIndex(path) {
			return usagef("%s is an index, not documents; -o names the index to write", path)
		}
	}
	return nil
}

// showReading shows on a terminal how many of the files' bytes are done with.
func showReading(cmd *cobra.Command, paths []string, o *corpus.Options) *progress.Bar {
	bar := progress.New(cmd.ErrOrStderr(), "reading", -1, true)
	o.Progress = func(n int64) { bar.Add(int(n)) }
	if terminal.Is(cmd.ErrOrStderr()) {
		quiet := o.Folder
		go func() {
			total := int64(0)
			for _, path := range paths {
				if path == "-" {
					return // its end is not known
				}
				for f, err := range corpus.Files(path, quiet) {
					if cmd.Context().Err() != nil {
						return
					}
					if err == nil {
						total += f.Info.Size()
					}
				}
			}
			bar.Total(total)
		}()
	}
	return bar
}
