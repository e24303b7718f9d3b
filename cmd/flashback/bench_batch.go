package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/bench"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/progress"
)

func newBenchBatchCmd() *cobra.Command {
	var f benchFlags
	var placements []string
	o := bench.BatchOptions{}
	cmd := &cobra.Command{
		Use:   "batch",
		Short: "Measure how fast many sequences write together",
		Long: `Batch lets some sequences write at once, each behind a context of its own, and
prints how many tokens a second they write together: without evidence, which decodes,
and with a new passage before every stride. Sequences share forwards, which read the
weights once for all of them; what each writes is the same as alone.`,
		Example: `  flashback bench batch
  flashback bench batch --sequences 1,8 --placements none --look-ahead 4 --rounds 5 --json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			for _, name := range placements {
				p, err := placement.Parse(name)
				if err != nil {
					return usageError{err}
				}
				o.Placements = append(o.Placements, p)
			}
			o.Rounds = f.rounds
			m, text, err := f.open(cmd.Context())
			if err != nil {
				return err
			}
			defer m.Close()
			defer text.Close()
			bar := progress.New(cmd.ErrOrStderr(), "measuring", int64(o.Measurements()), false)
			o.Step = func() { bar.Add(1) }
			rows, err := bench.Batch(cmd.Context(), &m.Weights, f.engineOptions(), text, o)
			bar.Finish()
			return errors.Join(err, printBatched(cmd.OutOrStdout(), rows, f.json))
		},
	}
	f.add(cmd, 3)
	fs := cmd.Flags()
	fs.IntSliceVar(&o.Sequences, "sequences", []int{1, 2, 4, 8, 16}, "how many sequences write at once")
	fs.StringSliceVar(&placements, "placements", []string{"none", "virtual", "append"}, "placements to measure; none decodes only")
	fs.IntVar(&o.Context, "context", 1024, "tokens of each sequence before it writes")
	fs.IntVar(&o.Evidence, "evidence", 130, "tokens of a passage")
	fs.IntVar(&o.Stride, "stride", 16, "tokens sampled a stride")
	fs.IntVar(&o.Strides, "strides", 2, "strides that each sequence writes in a round")
	fs.IntVar(&o.LookAhead, "look-ahead", 0, "tokens to guess at once by copying from passages and text")
	return cmd
}

func printBatched(out io.Writer, rows []bench.Batched, json bool) error {
	if json {
		return writeJSON(out, rows)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "placement\tsequences\ttokens/s\tmin\tmax\tvs first\tcontext\tlook-ahead\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%.1f\t%.1f\t%s\t%d\t%d\t\n", r.Placement, r.Sequences, r.Median, r.Min, r.Max, times(r.Ratio), r.Context, r.LookAhead)
	}
	return w.Flush()
}
