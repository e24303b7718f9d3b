package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/bench"
	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/progress"
)

func newBenchPrefillCmd() *cobra.Command {
	f := benchSpeedFlags{works: []bench.Work{{Prefill: true}}}
	cmd := f.command()
	cmd.Use = "prefill"
	cmd.Short = "Measure how fast a prompt is encoded (llama-bench's pp)"
	cmd.Example = "  flashback bench prefill --tokens 512 --json"
	cmd.Flags().IntVar(&f.works[0].Tokens, "tokens", 512, "tokens of the prompt")
	return cmd
}

func newBenchDecodeCmd() *cobra.Command {
	f := benchSpeedFlags{works: []bench.Work{{}}}
	cmd := f.command()
	cmd.Use = "decode"
	cmd.Short = "Measure how fast tokens are written, one at a time (llama-bench's tg)"
	cmd.Example = "  flashback bench decode --tokens 64 --rounds 9"
	cmd.Flags().IntVar(&f.works[0].Tokens, "tokens", 64, "tokens to write")
	return cmd
}

func newBenchDepthCmd() *cobra.Command {
	f := benchSpeedFlags{works: []bench.Work{{Prefill: true}, {}}}
	cmd := f.command()
	cmd.Use = "depth"
	cmd.Short = "Measure both behind a long context (llama-bench's @d rows)"
	cmd.Example = "  flashback bench depth --depth 4096 --tokens 144"
	fs := cmd.Flags()
	fs.IntVar(&f.depth, "depth", 4096, "tokens of the context")
	fs.IntVar(&f.works[0].Tokens, "tokens", 144, "tokens to encode behind it: a stride and its evidence")
	fs.IntVar(&f.works[1].Tokens, "decode", 16, "tokens to write behind it")
	return cmd
}

// benchSpeedFlags are the flags of prefill, decode and depth.
type benchSpeedFlags struct {
	benchFlags
	depth int
	works []bench.Work
}

func (f *benchSpeedFlags) command() *cobra.Command {
	cmd := &cobra.Command{
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.benchFlags.add(cmd, 5)
	return cmd
}

func (f *benchSpeedFlags) run(cmd *cobra.Command) error {
	if err := f.check(); err != nil {
		return err
	}
	m, text, err := f.open(cmd.Context())
	if err != nil {
		return err
	}
	defer m.Close()
	defer text.Close()
	e, err := engine.New(&m.Weights, f.engineOptions())
	if err != nil {
		return err
	}
	defer e.Close()
	if bytes, took := e.Loading(); bytes > 0 && !f.json {
		f.note(fmt.Sprintf("loaded: %s of weights in %.2f s, %.2f GB/s", humanize.Bytes(uint64(bytes)), took.Seconds(), float64(bytes)/1e9/took.Seconds()))
	}
	bar := progress.New(cmd.ErrOrStderr(), "measuring", int64(len(f.works)*f.rounds), false)
	speeds, err := bench.Speeds(cmd.Context(), e, text, f.depth, f.works, f.rounds, func() { bar.Add(1) })
	bar.Finish()
	if err != nil {
		return err
	}
	return f.print(cmd.OutOrStdout(), speeds)
}

func (f *benchSpeedFlags) check() error {
	if f.depth < 0 {
		return usagef("--depth %d: must not be negative", f.depth)
	}
	for _, w := range f.works {
		if w.Tokens < 1 {
			return usagef("%d tokens are nothing to measure", w.Tokens)
		}
	}
	return f.benchFlags.check()
}

func (f *benchSpeedFlags) print(out io.Writer, speeds []bench.Speed) error {
	if f.json {
		return writeJSON(out, speeds)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "test\ttokens/s\tmin\tmax\trounds\t")
	for _, s := range speeds {
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.1f\t%d\t\n", s.Test, s.Median, s.Min, s.Max, s.Rounds)
	}
	return w.Flush()
}
