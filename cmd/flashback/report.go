package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/flashback-lm/flashback/internal/corpus"
)

// printReport says what could not be read; of documents that all could it says
// nothing.
func printReport(w io.Writer, r *corpus.Report) {
	for _, f := range r.Faults {
		at := f.Source
		if f.Line > 0 {
			at = fmt.Sprintf("%s:%d", at, f.Line)
		}
		what := "not read"
		if f.Part {
			what = "read in part"
		}
		fmt.Fprintf(w, "flashback: %s: %s: %s", what, at, f.Reason)
		if len(f.Fields) > 0 {
			fmt.Fprintf(w, "; there are %s", strings.Join(f.Fields, ", "))
		}
		if f.Records > 1 {
			fmt.Fprintf(w, " (and %s more records of this file)", humanize.Comma(int64(f.Records-1)))
		}
		fmt.Fprintln(w)
	}
	var parts []string
	add := func(n int, one, many string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", humanize.Comma(int64(n)), map[bool]string{true: one, false: many}[n == 1]))
		}
	}
	add(r.BadFiles, "file could not be read", "files could not be read")
	add(r.PartFiles, "file was read in part", "files were read in part")
	add(r.BadRecords, "record could not be read", "records could not be read")
	add(r.Empty, "file holds no text", "files hold no text")
	if len(parts) > 0 {
		fmt.Fprintf(w, "flashback: %s\n", strings.Join(parts, ", "))
	}
	if unknown := tallied(r.Unknown); len(unknown) > 0 {
		n := 0
		for _, k := range r.Unknown {
			n += k
		}
		fmt.Fprintf(w, "flashback: %s of kinds that cannot be read: %s\n", plural(n, "file"), strings.Join(unknown, ", "))
	}
	if guessed := tallied(r.Guessed); len(guessed) > 0 {
		fmt.Fprintf(w, "flashback: not UTF-8, so taken for another encoding: %s; --encoding names it\n", strings.Join(guessed, ", "))
	}
}

// tallied lists counts, the highest first.
func tallied(counts map[string]int) (list []string) {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if n := counts[b] - counts[a]; n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	for _, k := range keys {
		name := k
		if name == "" {
			name = "without an ending"
		}
		list = append(list, fmt.Sprintf("%s %s", humanize.Comma(int64(counts[k])), name))
	}
	return list
}

// plural counts things whose plural ends in s.
func plural(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return humanize.Comma(int64(n)) + " " + thing
}
