package main

import (
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

func newCompactCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "compact DIR",
		Short: "Rewrite an index as one segment without deleted passages",
		Long: `Compact joins the segments that index --add made and drops the passages that
index --delete marked, which count in the scores until then. Searches under way
see the index as it was.`,
		Example: "  flashback compact notes.index",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := bm25.Compact(cmd.Context(), args[0]); err != nil {
				return err
			}
			index, err := bm25.Open(args[0], bm25.Options{})
			if err != nil {
				return err
			}
			defer index.Close()
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s passages in %d segments\n", args[0], humanize.Comma(int64(index.Info().Passages)), index.Info().Segments)
			return nil
		},
	}
}
