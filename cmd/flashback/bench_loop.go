package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/bench"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/progress"
)

// benchLoopFlags are the flags of bench loop.
type benchLoopFlags struct {
	benchFlags
	loop       bench.LoopOptions
	placements []string
	echo       int
}

func newBenchLoopCmd() *cobra.Command {
	var f benchLoopFlags
	cmd := &cobra.Command{
		Use:   "loop",
		Short: "Measure a stride of the retrieval loop in every placement",
		Long: `Loop measures strides of the retrieval loop: each starts with exactly the context's
tokens kept, of which the last stride was sampled just before and is encoded again.

  virtual cold   every stride a passage that was never seen
  virtual warm   a passage whose keys and values were kept
  append         FlashBack's way, evidence behind the context
  prepend        evidence in front, everything is computed again
  none           no evidence

Per stride it prints the tokens prefilled, decoded and reused (checked against what
the placement must compute), the memory that keys and values hold at its end, and how
many times as fast as prepend each placement is.`,
		Example: `  flashback bench loop
  flashback bench loop --contexts 512,2048 --json
  flashback bench loop --contexts 1024 --passages 1,2,4 --echo 16`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.benchFlags.add(cmd, 3)
	fs := cmd.Flags()
	fs.IntSliceVar(&f.loop.Contexts, "contexts", []int{512, 1024, 2048}, "kept tokens before a stride")
	fs.IntSliceVar(&f.loop.Passages, "passages", []int{1}, "passages a stride")
	fs.IntVar(&f.loop.Evidence, "evidence", 130, "tokens of a passage")
	fs.IntVar(&f.loop.Stride, "stride", 16, "tokens sampled a stride")
	fs.IntVar(&f.echo, "echo", 0, "measure append with this echo, too")
	fs.StringSliceVar(&f.placements, "placements", names(placement.All), "placements to measure")
	return cmd
}

func names(ps []placement.Placement) []string {
	var names []string
	for _, p := range ps {
		names = append(names, p.Name)
	}
	return names
}

// options checks the flags.
func (f *benchLoopFlags) options() (bench.LoopOptions, error) {
	o := f.loop
	o.Rounds = f.rounds
	for _, name := range f.placements {
		p, err := placement.Parse(name)
		if err != nil {
			return o, usageError{err}
		}
		o.Placements = append(o.Placements, p)
		if p.Evidence == placement.AfterText && f.echo != 0 {
			if p, err = p.WithEcho(f.echo); err != nil {
				return o, usageError{err}
			}
			o.Placements = append(o.Placements, p)
		}
	}
	return o, f.check()
}

func (f *benchLoopFlags) run(cmd *cobra.Command) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	m, text, err := f.open(cmd.Context())
	if err != nil {
		return err
	}
	defer m.Close()
	defer text.Close()
	if err := o.Check(m.Config.Context); err != nil {
		return usageError{err}
	}
	bar := progress.New(cmd.ErrOrStderr(), "measuring strides", int64(o.Measurements()), false)
	o.Step = func() { bar.Add(1) }
	rows, err := bench.Loop(cmd.Context(), &m.Weights, f.engineOptions(), text, o)
	bar.Finish()
	if len(rows) > 0 || err == nil {
		if err := f.print(cmd.OutOrStdout(), rows); err != nil {
			return err
		}
	}
	return err
}

func (f *benchLoopFlags) print(out io.Writer, rows []bench.Row) error {
	if f.json {
		return writeJSON(out, rows)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "context\tplacement\tpassages\tms/token\tmin\tmax\tvs prepend\tprefilled\tdecoded\treused\tevidence reused\tKV\t")
	for _, r := range rows {
		ratio := "-"
		if r.RatioToPrepend > 0 {
			ratio = fmt.Sprintf("%.1f×", r.RatioToPrepend)
		}
		fmt.Fprintf(w, "%d\t%s\t%d\t%.2f\t%.2f\t%.2f\t%s\t%d\t%d\t%d\t%d\t%s\t\n", r.Context, r.Name(), r.Passages,
			r.MSPerToken, r.MinMSPerToken, r.MaxMSPerToken, ratio, r.Prefilled, r.Decoded, r.Reused, r.EvidenceReused, humanize.IBytes(uint64(r.KVBytes)))
	}
	return w.Flush()
}
