package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/terminal"
)

func newListCmd() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "list INDEX",
		Short: "List the files in an index",
		Long: `List prints the sources of the index in the directory INDEX, in order of their
names: how many passages each has, its size and date when it was read, and its title.`,
		Example: `  flashback list notes.index
  flashback list notes.index --json`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			index, err := bm25.Open(args[0], bm25.Options{})
			if err != nil {
				return err
			}
			defer index.Close()
			if asJSON {
				return listJSON(cmd.OutOrStdout(), index)
			}
			return list(cmd.OutOrStdout(), index)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a line of JSON a source")
	return cmd
}

func list(out io.Writer, index *bm25.Index) error {
	short := shortNames(index.Roots())
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PASSAGES\tSIZE\tDATE\tSOURCE\tTITLE")
	for s, err := range index.Sources() {
		if err != nil {
			return err
		}
		size, date, title := "-", "-", s.Title
		if s.Size > 0 || !s.Modified.IsZero() {
			size = humanize.Bytes(uint64(s.Size))
		}
		if !s.Modified.IsZero() {
			date = s.Modified.Format("2006-01-02 15:04")
		}
		if title == s.Name || title == path.Base(s.Name) {
			title = ""
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", humanize.Comma(int64(s.Passages)), size, date, terminal.Line(short(s.Name)), terminal.Line(title))
	}
	return w.Flush()
}

// listedSource is what --json prints of a source.
type listedSource struct {
	Source   string     `json:"source"`
	Passages int        `json:"passages"`
	Size     int64      `json:"size"`               // bytes
	Modified *time.Time `json:"modified,omitempty"` // when it was read; not known of a stream
	Title    string     `json:"title,omitempty"`
}

func listJSON(out io.Writer, index *bm25.Index) error {
	w, short := terminal.Raw(out), shortNames(index.Roots())
	for s, err := range index.Sources() {
		if err != nil {
			return err
		}
		l := listedSource{Source: short(s.Name), Passages: s.Passages, Size: s.Size, Title: s.Title}
		if !s.Modified.IsZero() {
			l.Modified = &s.Modified
		}
		line, err := json.Marshal(l)
		if err != nil {
			return err
		}
		if _, err := w.Write(append(terminal.JSON(line), '\n')); err != nil {
			return err
		}
	}
	return nil
}
