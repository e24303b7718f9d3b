package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
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
	plot       string
	against    string
	shape      string
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
the placement must compute), the most memory that its keys and values hold, which is
at its end, and how many times as fast as prepend each placement is. Several contexts
show how both grow with the context, several --k how they grow with the passages.

A context that leaves no room for its evidence and stride is cut to the longest that
does: of the 8192 positions of the default model, 8045 with one passage.

--against sends the same tokens, in turn with our strides, to a server that runs the
same model: llama.cpp's (start it with -np 1 and --cache-ram 0), or one with
OpenAI's completions. It does not know virtual evidence, so that is compared with
its append. "peer prefilled" shows whether its prompt cache kept the context.

--engine measures the loop on a server that runs the model, as generate --engine runs
it, and holds what that says it computed to the placement table.

--shape computes the floating-point operations and the bytes of a stride for a model
of that shape, and measures nothing.`,
		Example: `  flashback bench loop
  flashback bench loop --contexts 512,2048 --json
  flashback bench loop --contexts 512,1024,2048,4096,8192 --plot contexts.png
  flashback bench loop --contexts 1024 --k 1,2,4,8 --plot passages.png
  flashback bench loop --adapter notes.adapter --echo 16
  flashback bench loop --against http://localhost:8080 --rounds 5
  flashback bench loop --engine vllm=http://localhost:8000 --model DIR --contexts 1024,4096
  flashback bench loop --shape llama-2-7b --contexts 1024,3072`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.benchFlags.add(cmd, 3)
	f.remote.add(cmd)
	fs := cmd.Flags()
	fs.IntSliceVar(&f.loop.Contexts, "contexts", []int{512, 1024, 2048}, "kept tokens before a stride")
	fs.IntSliceVarP(&f.loop.Passages, "k", "k", []int{1}, "passages a stride")
	fs.IntVar(&f.loop.Evidence, "evidence", 130, "tokens of a passage")
	fs.IntVar(&f.loop.Stride, "stride", 16, "tokens sampled a stride")
	fs.IntVar(&f.echo, "echo", 0, "measure append with this echo, too")
	fs.StringSliceVar(&f.placements, "placements", names(placement.All), "placements to measure")
	fs.StringVar(&f.plot, "plot", "", "draw time and memory against context, or against k at one context, to this `FILE`.png (or .svg, .pdf)")
	fs.StringVar(&f.against, "against", "", "compare with the server at this `URL`")
	fs.StringVar(&f.loop.Adapter, "adapter", "", "measure with the adapter in this `DIR`; placements and echo stay those of the flags")
	fs.StringVar(&f.shape, "shape", "", "compute the cost for a `MODEL` of this shape: "+strings.Join(shapeNames(), ", "))
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
func (f *benchLoopFlags) options(cmd *cobra.Command) (bench.LoopOptions, error) {
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
	if o.Adapter != "" && (f.shape != "" || f.against != "") {
		return o, usagef("--adapter goes with neither --shape nor --against: they know the base model alone")
	}
	if f.shape != "" && (f.plot != "" || f.against != "") {
		return o, usagef("--shape measures nothing: it goes with neither --plot nor --against")
	}
	if err := f.check(); err != nil {
		return o, err
	}
	if !f.remote.used() {
		return o, nil
	}
	if f.shape != "" || f.against != "" || o.Adapter != "" || f.plot != "" {
		return o, usagef("--engine goes with none of --shape, --against, --adapter and --plot")
	}
	if !cmd.Flags().Changed("placements") { // those that an engine behind HTTP does
		o.Placements = slices.DeleteFunc(o.Placements, func(p placement.Placement) bool { return p.Evidence == placement.BeforeZero })
	}
	return o, nil
}

func (f *benchLoopFlags) run(cmd *cobra.Command) error {
	o, err := f.options(cmd)
	if err != nil {
		return err
	}
	if f.shape != "" {
		return f.compute(cmd.OutOrStdout(), o)
	}
	if f.remote.used() {
		return f.runRemote(cmd, o)
	}
	m, text, err := f.open(cmd.Context())
	if err != nil {
		return err
	}
	defer m.Close()
	defer text.Close()
	if f.against != "" {
		if o.Peer, err = f.dial(cmd.Context(), m.Tokenizer.Encode); err != nil {
			return err
		}
	}
	if o, err = o.Fit(m.Config.Context); err != nil {
		return usageError{err}
	}
	bar := progress.New(cmd.ErrOrStderr(), "measuring strides", int64(o.Measurements()), false)
	o.Step = func() { bar.Add(1) }
	rows, err := bench.Loop(cmd.Context(), &m.Weights, f.engineOptions(), text, o)
	bar.Finish()
	if len(rows) > 0 { // of an interrupted run, what it finished
		err = errors.Join(err, f.print(cmd.OutOrStdout(), rows))
		if f.plot != "" {
			err = errors.Join(err, bench.Plot(f.plot, "Retrieval loop, "+filepath.Base(m.Path), rows))
		}
	}
	return err
}

// dial opens the server to compare with.
func (f *benchLoopFlags) dial(ctx context.Context, encode func(string) []int32) (*bench.Peer, error) {
	peer, err := bench.Dial(ctx, f.against)
	if err != nil {
		return nil, fmt.Errorf("--against: %w", err)
	}
	const sample = "Token 0 of the context isn't evidence;\n\tit is the attention sink."
	return peer, peer.CheckTokenizer(ctx, sample, encode(sample))
}

func (f *benchLoopFlags) print(out io.Writer, rows []bench.Row) error {
	if f.json {
		return writeJSON(out, rows)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "context\tplacement\tk\tms/token\tmin … max\tvs prepend\tprefilled\tdecoded\treused\tevidence reused\tKV\t")
	if f.against != "" {
		fmt.Fprint(w, "peer ms/token\tmin … max\tpeer prefilled\tvs peer\t")
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		fmt.Fprintf(w, "%d\t%s\t%d\t%.2f\t%.2f … %.2f\t%s\t%d\t%d\t%d\t%d\t%s\t", r.Context, r.Name(), r.Passages,
			r.MSPerToken, r.MinMSPerToken, r.MaxMSPerToken, times(r.RatioToPrepend),
			r.Prefilled, r.Decoded, r.Reused, r.EvidenceReused, humanize.IBytes(uint64(r.KVBytes)))
		if p := r.Peer; p != nil {
			fmt.Fprintf(w, "%.2f\t%.2f … %.2f\t%d\t%s\t", p.MSPerToken, p.MinMSPerToken, p.MaxMSPerToken, p.Prefilled, times(p.Ratio))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// times writes a ratio; 0 stands for one that is not known.
func times(ratio float64) string {
	if ratio == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f×", ratio)
}
