package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/progress"
)

// demoFlags are the flags of demo.
type demoFlags struct {
	model    modelFlags
	question string
	tokens   int
	reindex  bool
}

func newDemoCmd() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo [FOLDER]",
		Short: "See it work: index, ask, and compare the placements",
		Long: `Demo brings the model onto this machine, indexes the documentation of Go's
standard library (or the documents of FOLDER), answers a question from it, and
prints what the same question costs in each placement.

The index is kept in the cache directory and made again when the documents have
changed.`,
		Example: `  flashback demo
  flashback demo ~/notes --question "Where do we keep the keys?"`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, strings.Join(args, "")) },
	}
	f.model.add(cmd)
	fs := cmd.Flags()
	fs.StringVar(&f.question, "question", "", "the question to ask (default: one about the documents)")
	fs.IntVar(&f.tokens, "tokens", 48, "tokens of the answer, and of each placement in the comparison")
	fs.BoolVar(&f.reindex, "reindex", false, "make the index again")
	return cmd
}

func (f *demoFlags) run(cmd *cobra.Command, folder string) error {
	if err := f.model.check(); err != nil {
		return err
	}
	if f.tokens < 1 {
		return usagef("--tokens %d: must be at least 1", f.tokens)
	}
	ctx, out, log := cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	library, err := findLibrary(ctx, folder)
	if err != nil {
		return err
	}
	// A model that is here says nothing; pulling would check its digest first.
	if _, err := hub.Resolve(f.model.model); err != nil {
		if _, err := hub.Pull(ctx, f.model.model, log); err != nil {
			return err
		}
	}
	opt := f.model.options()
	if opt.Index, err = library.index(ctx, f.model.model, f.reindex, out, log); err != nil {
		return err
	}
	if f.question == "" {
		if f.question, err = library.question(cmd.InOrStdin(), log); err != nil {
			return err
		}
	}
	if err := f.answer(ctx, opt, library, out); err != nil {
		return err
	}
	return f.compare(ctx, opt, library, out, log)
}

// answer writes the answer and the passages that it used.
func (f *demoFlags) answer(ctx context.Context, opt flashback.Options, l *library, out io.Writer) error {
	engine, err := flashback.Open(opt)
	if err != nil {
		return err
	}
	defer engine.Close()
	info := engine.Info()
	fmt.Fprintf(out, "Model: %s, %s kernels, %d threads\n\nQuestion: %s\n\n", f.model.model, info.Kernels, info.Threads, f.question)
	shown := follower{out: out}
	if err := f.ask(ctx, engine, l, flashback.AnswerDefaults(), &shown); err != nil {
		return err
	}
	fmt.Fprintln(out, "\n\nPassages that it read")
	for i, p := range shown.Sources() {
		fmt.Fprintf(out, "  [%d] %s\n      %s\n", i+1, sourceLine(p), excerpt(p.Text, 90))
	}
	fmt.Fprintln(out)
	return nil
}

// ask asks the question in a chat of its own.
func (f *demoFlags) ask(ctx context.Context, e *flashback.Engine, l *library, r flashback.Request, shown *follower) error {
	chat := e.NewChat(l.system)
	defer chat.Close()
	r.MaxTokens = f.tokens
	return shown.follow(chat.Ask(ctx, f.question, r))
}

// compare asks the question again in every placement and prints what that took.
// The engine is a new one, so that no placement profits from the answer.
func (f *demoFlags) compare(ctx context.Context, opt flashback.Options, l *library, out, log io.Writer) error {
	engine, err := flashback.Open(opt)
	if err != nil {
		return err
	}
	defer engine.Close()
	bar := progress.New(log, "comparing", int64(len(flashback.Placements())), false)
	defer bar.Finish()
	finishes := map[string]*flashback.Finish{}
	for _, placement := range flashback.Placements() {
		r := flashback.AnswerDefaults()
		r.Placement, r.IgnoreEOS = placement, true
		shown := follower{out: io.Discard}
		if err := f.ask(ctx, engine, l, r, &shown); err != nil {
			return err
		}
		finishes[placement] = shown.Finish
		bar.Add(1)
	}
	bar.Finish()
	fmt.Fprintf(out, "The same question, %d tokens in each placement of the passages\n\n", f.tokens)
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "placement\tms a token\tprompt\tprefilled\tdecoded\treused\tevidence reused\t")
	for _, placement := range flashback.Placements() {
		finish := finishes[placement]
		c := finish.Counts
		fmt.Fprintf(w, "%s\t%.1f\t%d\t%d\t%d\t%d\t%d of %d\t\n", placement, msPerToken(*finish), c.Prompt, c.Prefilled, c.Decoded, c.Reused, c.EvidenceReused, c.Evidence)
	}
	return w.Flush()
}
