// Command flashback answers from your own documents: a language model that
// looks passages up every few tokens and keeps the KV cache of its context.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// run executes the command line and returns the exit code: 0, 1 for a failure,
// 2 for a wrong use of the command line, 130 when Ctrl-C stopped it.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "flashback:", err)
	if _, usage := errors.AsType[usageError](err); usage {
		return 2
	}
	if ctx.Err() != nil {
		return 130 // what shells report of a command that Ctrl-C ended
	}
	return 1
}

// usageError marks a wrong use of the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usagef returns a usage error.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// usageArgs turns what cobra says of positional arguments into usage errors.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%w; see '%s --help'", err, cmd.CommandPath())}
		}
		return nil
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "flashback",
		Short:         "Retrieval-augmented generation that keeps the context's KV cache",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see '%s --help'", err, cmd.CommandPath())}
	})
	root.AddCommand(
		newDemoCmd(),
		newAskCmd(),
		newGenerateCmd(),
		newPullCmd(),
		newModelsCmd(),
		newInspectCmd(),
		newIndexCmd(),
		newPrepareCmd(),
		newSearchCmd(),
		newCompactCmd(),
		newBenchCmd(),
		newTrainCmd(),
		newMergeCmd(),
		newEvalCmd(),
		newVersionCmd(),
	)
	return root
}
