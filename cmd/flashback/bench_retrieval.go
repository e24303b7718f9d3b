package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/bench"
	"github.com/flashback-lm/flashback/internal/progress"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

func newBenchRetrievalCmd() *cobra.Command {
	var f benchFlags
	var dir string
	var queries, k int
	cmd := &cobra.Command{
		Use:   "retrieval --index DIR",
		Short: "Measure how long passages take to find",
		Long: `Retrieval asks the index queries of 24 to 32 tokens of real text, one after the
other, as the loop does at every stride, and prints percentiles of the time that an
answer takes. --model gives the tokenizer.`,
		Example: `  flashback bench retrieval --index notes.index
  flashback bench retrieval --index notes.index --text draft.md --queries 1000 --k 4 --json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return usagef("which index? give --index DIR")
			}
			if queries < 1 || k < 1 {
				return usagef("--queries and --k must be at least 1")
			}
			if err := f.check(); err != nil {
				return err
			}
			m, text, err := f.open(cmd.Context())
			if err != nil {
				return err
			}
			defer m.Close()
			defer text.Close()
			asked, err := bench.Queries(text, m.Tokenizer.Decode, queries)
			if err != nil {
				return err
			}
			index, err := bm25.Open(dir, bm25.Options{})
			if err != nil {
				return err
			}
			defer index.Close()
			bar := progress.New(cmd.ErrOrStderr(), "asking", int64(f.rounds), false)
			l, err := bench.Retrieval(cmd.Context(), index, asked, k, f.rounds, func() { bar.Add(1) })
			bar.Finish()
			if err != nil {
				return err
			}
			if f.json {
				return writeJSON(cmd.OutOrStdout(), []bench.Latency{l})
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', tabwriter.AlignRight)
			fmt.Fprintln(w, "queries\tk\tp50 ms\tp95 ms\tp99 ms\tmax ms\tmean ms\twithout hits\t")
			fmt.Fprintf(w, "%d\t%d\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%d\t\n", l.Queries, l.K, l.P50, l.P95, l.P99, l.Max, l.Mean, l.NoHits)
			return w.Flush()
		},
	}
	f.add(cmd, 5)
	fs := cmd.Flags()
	fs.StringVar(&dir, "index", "", "the index `DIR`ectory")
	fs.IntVar(&queries, "queries", 500, "different queries")
	fs.IntVarP(&k, "k", "k", 1, "passages a query")
	return cmd
}
