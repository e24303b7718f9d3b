package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/collection"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/terminal"
)

// syncFlags are the flags of sync.
type syncFlags struct {
	indexFlags
	watch bool
}

func newSyncCmd() *cobra.Command {
	var f syncFlags
	cmd := &cobra.Command{
		Use:   "sync [PATH...] -o INDEX",
		Short: "Keep an index in step with its documents",
		Long: `Sync brings an index up to date with files and folders: it reads what is new or has
changed, takes out what is gone, and says what it did. Files whose size and time are
as they were are not read; where the time is another, only files whose content is
too. Without a PATH it looks at all that the index was made of. Where there is no
index yet, it makes one.

It is a command of its own because index replaces an index: no one should lose one,
or keep an old one, by a word that means the other.

With --watch it goes on until Ctrl-C, and syncs whenever a file changes.

A folder that is not there at all was not emptied: a disk may be away. What was read
of it stays, and sync says so. How a folder is read (--include, --encoding and so on)
is remembered; other flags change it, and read all of it again.`,
		Example: `  flashback sync ~/notes -o notes.index
  flashback sync -o notes.index
  flashback sync ~/notes -o notes.index --watch`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			if f.dir == "" {
				return usagef("name the index's directory with -o")
			}
			for _, path := range paths {
				if path == "-" {
					return usagef("standard input cannot be followed; put it in with 'flashback index - --add'")
				}
			}
			f.add = bm25.IsIndex(f.dir)
			if !f.add && len(paths) == 0 {
				return usagef("%s is no index yet; name the folder that it is to be of", f.dir)
			}
			return f.sync(cmd, paths)
		},
	}
	cmd.Flags().BoolVar(&f.watch, "watch", false, "go on, and sync whenever a file changes")
	f.register(cmd)
	return cmd
}

// listedChanges is how many changes of an update are named.
const listedChanges = 20

// sync makes the index or updates it, and watches where that is wanted.
func (f *syncFlags) sync(cmd *cobra.Command, paths []string) error {
	o, err := f.options(cmd)
	if err != nil {
		return err
	}
	out := &syncPrinter{out: cmd.OutOrStdout(), log: cmd.ErrOrStderr(), dir: f.dir, json: f.json, quiet: !f.add, start: time.Now()}
	o.Did = out.did
	bar := showReading(cmd, paths, &o.Read)
	defer bar.Finish()
	change := collection.Build
	if f.add {
		change = collection.Update
	}
	report, err := change(cmd.Context(), f.dir, paths, o)
	bar.Finish()
	if cmd.Context().Err() != nil {
		return fmt.Errorf("stopped; %s", asBefore(f.dir))
	}
	if errors.Is(err, bm25.ErrEmpty) {
		err = nothingToIndex(&report.Read, err)
	}
	if err != nil {
		return err
	}
	out.print(report)
	if !f.watch {
		return nil
	}
	fmt.Fprintln(out.log, "flashback: watching; Ctrl-C ends it")
	o.Read.Progress, o.Kept, out.quiet = nil, true, false
	return collection.Watch(cmd.Context(), f.dir, nil, o, func(r *collection.Report, err error) {
		if err != nil {
			fmt.Fprintf(out.log, "flashback: %v\n", err)
		} else if r.New+r.Changed+r.Renamed+r.Deleted > 0 {
			out.print(r)
		}
		out.begin()
	}, func(err error) {
		fmt.Fprintf(out.log, "flashback: the system does not tell of changes (%v); looking every now and then\n", err)
	})
}

// syncPrinter says what updates do.
type syncPrinter struct {
	out, log io.Writer
	dir      string
	json     bool
	quiet    bool // changes are not named: everything is new
	changes  []collection.Change
	start    time.Time
}

// begin begins another update.
func (p *syncPrinter) begin() { p.changes, p.start = nil, time.Now() }

func (p *syncPrinter) did(c collection.Change) {
	if len(p.changes) < listedChanges {
		p.changes = append(p.changes, c)
	}
}

// syncOutcome is what --json prints of an update.
type syncOutcome struct {
	Index string `json:"index"`
	*collection.Report
	Changes []collection.Change `json:"changes,omitempty"` // the first of them
	Seconds float64             `json:"seconds"`
}

func (p *syncPrinter) print(r *collection.Report) {
	if p.json {
		writeJSON(p.out, syncOutcome{p.dir, r, p.changes, time.Since(p.start).Seconds()})
		return
	}
	printReport(p.log, &r.Read)
	for _, path := range r.Missing {
		fmt.Fprintf(p.log, "flashback: %s is not there; what was read of it stays ('flashback index -o %s --delete %s' takes it out)\n", terminal.Line(path), terminal.Line(p.dir), terminal.Line(path))
	}
	if !p.quiet {
		for _, c := range p.changes {
			name := terminal.Line(c.Name)
			if c.From != "" {
				name = terminal.Line(c.From) + " -> " + name
			}
			fmt.Fprintf(p.out, "  %-8s %s\n", c.What, name)
		}
		if more := r.New + r.Changed + r.Renamed + r.Deleted + r.Kept - len(p.changes); more > 0 {
			fmt.Fprintf(p.out, "  and %s more\n", humanize.Comma(int64(more)))
		}
	}
	fmt.Fprintf(p.out, "%s: %s", terminal.Line(p.dir), plural(r.Index.Passages, "passage")+" read")
	for _, n := range []struct {
		count int
		what  string
	}{{r.New, "new"}, {r.Changed, "changed"}, {r.Renamed, "renamed"}, {r.Deleted, "deleted"}, {r.Kept, "kept though not readable"}, {r.Unchanged, "as they were"}} {
		if n.count > 0 {
			fmt.Fprintf(p.out, ", %s %s", humanize.Comma(int64(n.count)), n.what)
		}
	}
	fmt.Fprintf(p.out, " in %.1f s\n", time.Since(p.start).Seconds())
}
