package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/atomicfile"
	"github.com/flashback-lm/flashback/internal/eval"
)

// evalPerplexityFlags are the flags of eval perplexity.
type evalPerplexityFlags struct {
	scoringFlags
	rows, compare, adapters []string
	sink                    int
	exported, graph         string
}

func newEvalPerplexityCmd() *cobra.Command {
	var f evalPerplexityFlags
	cmd := &cobra.Command{
		Use:   "perplexity --data FILE --index DIR",
		Short: "Measure how much evidence helps a model to predict text",
		Long: `Perplexity scores real text with evidence in every placement, by the paper's
recipe. A window is the first 528 tokens of a document, one a document, shorter
documents left out. Targets are the 16 tokens behind p = 32, 48 … 512; the context
is the window before p, behind the model's BOS where it has one, the query the
window's last 32 tokens before p, the evidence the best passages, each cut to 128
tokens. Passages of the window's own document (its id or title) are never shown.

A row is a placement and its options:

  none  prepend  virtual  append
  append:echo=16     repeat the last 16 context tokens behind the evidence
  virtual:echo=16    encode the last 16 context tokens again, with the evidence in sight
  virtual:k=2        two passages: side by side; append and prepend mix branches
  virtual:sink=0     token 0 first in every text, for models without a BOS of their own
  append:random      passages drawn at random instead of the best
  append:best=10     of the ten best passages, each shown alone, the one that makes the
                     target likeliest: a bound of what choosing among them can gain
  none:reserve=130   the text at position 130 instead of 0, by models with learned
                     positions (OPT, GPT-2): what virtual's place costs them
  virtual:adapter=A  with the adapter that --adapter A=DIR names, and its marks

Printed are Markdown tables: perplexity by token and by word (a run without
blanks) over all windows that every row has, with intervals from a bootstrap over
windows, and differences between rows on the same windows.

With -o each score is kept as a line of JSON, and the command goes on where an
earlier run with the same settings stopped. Ctrl-C prints what is complete.`,
		Example: `  flashback eval perplexity --data latex.eval.jsonl.zst --index latex.index --windows 30 --every 4
  flashback eval perplexity --data eval.jsonl --corpus index.jsonl --rows none,virtual,virtual:k=2 --compare virtual:k=2,virtual
  flashback eval perplexity --data eval.jsonl --index notes.index --adapter mine=runs/mine/adapter --rows none,none:adapter=mine,append:adapter=mine
  flashback eval perplexity --data eval.jsonl --index notes.index --context 2048 -o scores.jsonl --plot rows.png`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.add(cmd)
	fs := cmd.Flags()
	fs.StringVar(&f.corpus, "corpus", "", "instead of --index: the `FILE` of documents to index, once, in the cache")
	fs.StringSliceVar(&f.rows, "rows", []string{"none", "prepend", "virtual", "append"}, "rows to measure")
	fs.StringArrayVar(&f.adapters, "adapter", nil, "an adapter that rows may name, `NAME=DIR` (repeatable)")
	fs.StringArrayVar(&f.compare, "compare", nil, "two rows `A,B` to compare (repeatable; default: each row with none)")
	fs.IntVar(&f.sink, "sink", -1, "token `ID` put first in every text, for rows that name no other and models without a BOS; -1: none")
	fs.StringVar(&f.exported, "export", "", "write each scored stride to this `FILE`.jsonl, for tools/reference/placements_eval.py")
	fs.StringVar(&f.graph, "plot", "", "draw the rows to this `FILE`.png (or .svg, .pdf)")
	return cmd
}

// parse checks the flags and returns the rows and which of them to compare.
func (f *evalPerplexityFlags) parse() (rows []eval.Row, pairs []eval.Pair, err error) {
	if int(int32(f.sink)) != f.sink || f.sink < -1 {
		return nil, nil, usagef("--sink %d: must be a token's id", f.sink)
	}
	if rows, err = eval.ParseRows(f.rows, int32(f.sink)); err != nil {
		return nil, nil, usageError{fmt.Errorf("--rows: %w", err)}
	}
	if err := f.check(rows); err != nil {
		return nil, nil, err
	}
	for _, r := range rows {
		if f.exported != "" && r.Branches() > 1 {
			return nil, nil, usagef("--export: row %s has a branch a passage, and a case holds one", r)
		}
	}
	if len(f.compare) == 0 {
		return rows, eval.AgainstNone(rows), nil
	}
	for _, names := range f.compare {
		pair, err := eval.ParsePair(names, rows, int32(f.sink))
		if err != nil {
			return nil, nil, usageError{fmt.Errorf("--compare: %w", err)}
		}
		pairs = append(pairs, pair)
	}
	return rows, pairs, nil
}

func (f *evalPerplexityFlags) run(cmd *cobra.Command) error {
	rows, pairs, err := f.parse()
	if err != nil {
		return err
	}
	m, err := f.open()
	if err != nil {
		return err
	}
	defer m.Close()
	return f.score(cmd, m, rows, f.adapters, func(s *scored) error {
		return errors.Join(f.report(cmd.OutOrStdout(), eval.Summarise(s.log, rows, s.windows, pairs)), f.export(s))
	})
}

// report prints the tables and draws the plot.
func (f *evalPerplexityFlags) report(out io.Writer, r eval.Result) error {
	err := r.Markdown(out)
	if f.graph == "" || r.Windows == 0 {
		return err
	}
	return errors.Join(err, r.Plot(f.graph, fmt.Sprintf("%s, %d windows", filepath.Base(f.data), r.Windows)))
}

// export writes the cases of --export. A run that was interrupted exports what it
// completed.
func (f *evalPerplexityFlags) export(s *scored) error {
	if f.exported == "" {
		return nil
	}
	return atomicfile.Write(f.exported, func(w io.Writer) error {
		return s.evaluation.Export(context.Background(), w, s.windows, s.log)
	})
}
