package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newManCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write the manual pages into a directory",
		Example: "  flashback man ~/.local/share/man/man1",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("cannot write the manual pages: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true // no date: the same program has the same pages
			head := &doc.GenManHeader{Section: "1", Source: "FlashBack", Manual: "FlashBack"}
			return doc.GenManTree(root, head, args[0])
		},
	}
}
