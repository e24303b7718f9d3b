package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/indexcache"
	"github.com/flashback-lm/flashback/internal/progress"
	"github.com/flashback-lm/flashback/internal/stream"
	"github.com/flashback-lm/flashback/internal/terminal"
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
	addTemplate(cmd.Flags(), &f.model.template)
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
	shown, err := f.documents(ctx, folder)
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
	index, err := keptIndex(ctx, shown.Documents, f.model.model, f.reindex, out, log)
	if err != nil {
		return err
	}
	opt.Indexes = []string{index}
	if f.question == "" {
		if f.question, err = shown.ask(ctx, cmd.InOrStdin(), log); err != nil {
			return err
		}
	}
	if err := f.answer(ctx, opt, shown.system, out); err != nil {
		return err
	}
	return f.compare(ctx, opt, shown.system, out, log)
}

// demoDocuments are what demo answers from.
type demoDocuments struct {
	*indexcache.Documents
	system   string // system message of the questions
	question string // where none is given; empty: one is made from the documents
}

// documents returns those of the folder, or of Go's standard library where it is
// empty.
func (f *demoFlags) documents(ctx context.Context, folder string) (d demoDocuments, err error) {
	if folder == "" {
		root, err := goroot(ctx)
		if err == nil {
			d.Documents, err = indexcache.Go(root)
		}
		if err != nil {
			return d, fmt.Errorf("%w; set GOROOT, or name a folder of documents: flashback demo FOLDER", err)
		}
		d.system = "You explain the Go programming language. Answer the question in one or two sentences, with what its documentation says."
		d.question = "What does context.WithTimeout return?"
		return d, nil
	}
	if info, err := os.Stat(folder); err != nil {
		return d, fmt.Errorf("cannot read the documents: %w", err)
	} else if !info.IsDir() {
		return d, usagef("%s is not a folder; put the documents into one", folder)
	}
	d.system = askSystem
	d.Documents, err = indexcache.Of(folder)
	return d, err
}

// ask returns what to ask: the documents' own question, one that is typed on a
// terminal, or one about the longest of the first documents.
func (d demoDocuments) ask(ctx context.Context, in io.Reader, log io.Writer) (string, error) {
	if d.question != "" {
		return d.question, nil
	}
	if terminal.Is(in) {
		fmt.Fprint(log, "Question: ")
		line, err := bufio.NewReader(stream.Reader(ctx, in)).ReadString('\n')
		if ctx.Err() != nil {
			return "", errInterrupted
		}
		if line = strings.TrimSpace(line); line != "" {
			return line, nil
		}
		if err != nil && err != io.EOF {
			return "", fmt.Errorf("cannot read the question: %w", err)
		}
	}
	return fmt.Sprintf("What does %q say?", d.Longest()), nil
}

// answer writes the answer and what it is from.
func (f *demoFlags) answer(ctx context.Context, opt flashback.Options, system string, out io.Writer) error {
	engine, err := flashback.Open(opt)
	if err != nil {
		return err
	}
	defer engine.Close()
	info := engine.Info()
	fmt.Fprintf(out, "Model: %s, %s kernels, %d threads\n\nQuestion: %s\n\n", f.model.model, info.Kernels, info.Threads, f.question)
	chat := engine.NewChat(system)
	defer chat.Close()
	if err := f.ask(ctx, chat, flashback.AnswerDefaults(), &follower{out: out}); err != nil {
		return err
	}
	p, err := chat.Provenance(ctx)
	if err != nil {
		return err
	}
	fmt.Fprint(out, "\n\n")
	printProvenance(out, p)
	fmt.Fprintln(out)
	return nil
}

// ask asks the question.
func (f *demoFlags) ask(ctx context.Context, chat *flashback.Chat, r flashback.Request, shown *follower) error {
	r.MaxTokens = f.tokens
	return shown.follow(chat.Ask(ctx, f.question, r))
}

// compare asks the question again in every placement and prints what that took.
// The engine is a new one, so that no placement profits from the answer.
func (f *demoFlags) compare(ctx context.Context, opt flashback.Options, system string, out, log io.Writer) error {
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
		r.Salt = placement // no placement finds the question of another
		shown := follower{out: io.Discard}
		chat := engine.NewChat(system)
		err := f.ask(ctx, chat, r, &shown)
		chat.Close()
		if err != nil {
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
