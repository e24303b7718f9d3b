package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/dustin/go-humanize"

	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/terminal"
)

// indexInspection is what inspect prints of an index.
type indexInspection struct {
	Index string `json:"index"`
	bm25.Info
	Size  int64  `json:"size"`  // bytes of all files
	Fault string `json:"fault"` // what is damaged; empty: every checksum is right
}

// inspectIndex prints what an index holds, how it was made and whether it is whole.
// One that is damaged is printed as far as it can be, and an error.
func inspectIndex(ctx context.Context, out io.Writer, dir string, asJSON bool) error {
	index, err := bm25.Open(dir, bm25.Options{})
	if err != nil {
		return err
	}
	defer index.Close()
	in := indexInspection{Index: dir, Info: index.Info(), Size: folderSize(dir)}
	_, fault := bm25.Verify(ctx, dir)
	if ctx.Err() != nil {
		return errInterrupted
	}
	if fault != nil {
		in.Fault = fault.Error()
	}
	if asJSON {
		err = writeJSON(out, in)
	} else {
		err = in.print(out)
	}
	if err == nil && fault != nil {
		err = fault
	}
	return err
}

func (in *indexInspection) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	count := func(n int) string { return humanize.Comma(int64(n)) }
	fmt.Fprintf(w, "%s (index)\n", terminal.Line(in.Index))
	row("sources", "%s; 'flashback list' names them", count(in.Sources))
	row("passages", "%s", count(in.Passages))
	if in.Deleted > 0 {
		row("deleted", "%s passages, which 'flashback compact' frees", count(in.Deleted))
	}
	row("segments", "%d", in.Segments)
	row("size", "%s", humanize.Bytes(uint64(in.Size)))
	row("analyzer", "%s", in.Analyzer)
	row("cut by", "%s, %d repeated", in.Chunking, in.Overlap)
	if in.BreadcrumbWeight > 0 {
		row("headings", "with titles, of weight %d", in.BreadcrumbWeight)
	} else {
		row("titles", "%s", map[bool]string{true: "found by, too", false: "not found by"}[in.IndexTitle])
	}
	row("lengths", "%s", map[bool]string{true: "exact", false: "Lucene's, in one byte"}[in.ExactLengths])
	if in.Tokenizer != "" {
		row("tokenizer", "%s", in.Tokenizer)
	}
	if in.Fault == "" {
		row("health", "good: every checksum is right")
	} else {
		row("health", "damaged: %s", terminal.Line(in.Fault))
	}
	return w.Flush()
}

// folderSize adds up the files of a directory.
func folderSize(dir string) (total int64) {
	filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}
