package main

import "github.com/spf13/cobra"

func newEvalCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "eval",
		Short: "Measure quality",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newEvalPerplexityCmd(), newEvalPaperCmd(), newEvalQACmd(), newEvalChatCmd(), newEvalRetrievalCmd())
	return cmd
}
