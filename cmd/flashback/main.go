// Command flashback answers from your own documents: a language model that
// looks passages up every few tokens and keeps the KV cache of its context.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/terminal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process whatever it does
	err := execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	os.Exit(exitCode(ctx, err))
}

// execute runs a command line. Control characters in what it writes are replaced,
// and output that cannot be written is an error.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	out, log := terminal.NewWriter(stdout), terminal.NewWriter(stderr)
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(out)
	root.SetErr(log)
	err := root.ExecuteContext(ctx)
	if broken := out.Flush(); broken != nil {
		err = fmt.Errorf("cannot write the output: %w", broken)
	}
	if err != nil {
		fmt.Fprintf(terminal.Raw(log), "flashback: %s\n", terminal.Error(err))
	}
	log.Flush()
	return err
}

// exitCode returns 0, 1 for a failure, 2 for a wrong use of the command line, 130
// when Ctrl-C stopped it.
func exitCode(ctx context.Context, err error) int {
	_, usage := errors.AsType[usageError](err)
	switch {
	case err == nil:
		return 0
	case usage:
		return 2
	case ctx.Err() != nil:
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
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see '%s --help'", err, cmd.CommandPath())}
	})
	root.AddCommand(
		newDemoCmd(),
		newAskCmd(),
		newGenerateCmd(),
		newServeCmd(),
		newMCPCmd(),
		newPullCmd(),
		newModelsCmd(),
		newInspectCmd(),
		newIndexCmd(),
		newSyncCmd(),
		newPrepareCmd(),
		newSearchCmd(),
		newListCmd(),
		newCompactCmd(),
		newBenchCmd(),
		newTrainCmd(),
		newMergeCmd(),
		newEvalCmd(),
		newManCmd(),
		newVersionCmd(),
	)
	return root
}
