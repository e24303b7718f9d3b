package main

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/bench"
	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tensor"
)

func newBenchCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure speed: the retrieval loop, prefill, decode, many sequences, retrieval",
		Long: `Bench measures this machine. Figures are medians of --rounds measurements on real
text: the documentation of the Go standard library, or --text. Anything else that
runs on the machine slows them down; look at its load first.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBenchLoopCmd(), newBenchPrefillCmd(), newBenchDecodeCmd(), newBenchDepthCmd(), newBenchBatchCmd(), newBenchRetrievalCmd())
	return cmd
}

// benchFlags are the flags of every benchmark.
type benchFlags struct {
	modelFlags
	text   string
	rounds int
	json   bool
	random string       // a shape, whose weights a card makes up
	note   func(string) // prints what is no figure
}

func (f *benchFlags) add(cmd *cobra.Command, rounds int) {
	f.modelFlags.add(cmd)
	f.note = func(s string) { fmt.Fprintln(cmd.ErrOrStderr(), s) }
	fs := cmd.Flags()
	fs.StringVar(&f.text, "text", "", "take text from this `FILE` or directory (default: the Go standard library's documentation)")
	fs.IntVar(&f.rounds, "rounds", rounds, "measurements, of which the median counts")
	fs.BoolVar(&f.json, "json", false, "print a list of objects")
	fs.StringVar(&f.random, "random", "", "instead of --model, one with random weights of this `SHAPE`, which a card makes up in its own memory: "+strings.Join(shapeNames(), ", "))
}

func (f *benchFlags) check() error {
	if f.random != "" && f.text != "" {
		return usagef("--random has no tokenizer that could read --text")
	}
	if f.rounds < 1 {
		return usagef("--rounds %d: must be at least 1", f.rounds)
	}
	return f.modelFlags.check()
}

// foundCard says in a line which card the options could use, or why there is none.
func foundCard(o engine.Options) string {
	card, err := o.FindCard()
	if err != nil {
		return err.Error()
	}
	return card
}

// open binds the model and starts to read the text. Close both.
func (f *benchFlags) open(ctx context.Context) (*model.Model, *bench.Text, error) {
	if !f.json {
		f.note("card: " + foundCard(f.engineOptions()))
	}
	if f.random != "" {
		m, err := f.makeUp()
		if err != nil {
			return nil, nil, err
		}
		return m, bench.RandomText(m.Config.Vocab, 1), nil
	}
	docs, err := f.documents(ctx)
	if err != nil {
		return nil, nil, err
	}
	m, err := f.load()
	if err != nil {
		return nil, nil, err
	}
	return m, bench.NewText(docs, m.Tokenizer.Encode), nil
}

// makeUp returns a model without data. Its matrices are stored as --quantize says.
func (f *benchFlags) makeUp() (*model.Model, error) {
	shape, err := bench.ParseShape(f.random)
	if err != nil {
		return nil, usageError{err}
	}
	if f.device == engine.DefaultDevice {
		f.device = "cuda" // there alone
	}
	if f.quantize != "" && f.quantize != engine.Float8 {
		if shape.Blocks = tensor.TypeNamed(strings.ToUpper(f.quantize)); shape.Blocks == tensor.Invalid {
			return nil, usagef("--quantize %s: no such type of weights", f.quantize)
		}
		shape.Head = tensor.Q8_0
	}
	return &model.Model{Weights: *shape.Weights(), Path: "random " + shape.Name}, nil
}

func (f *benchFlags) documents(ctx context.Context) (iter.Seq2[corpus.Document, error], error) {
	if f.text != "" {
		return corpus.Texts(corpus.Read(ctx, f.text, corpus.Options{})), nil
	}
	root, err := goroot(ctx)
	if err != nil {
		return nil, err
	}
	return corpus.GoDoc(root), nil
}
