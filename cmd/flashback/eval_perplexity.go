package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/atomicfile"
	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/eval"
	"github.com/flashback-lm/flashback/internal/indexcache"
	"github.com/flashback-lm/flashback/internal/progress"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// evalPerplexityFlags are the flags of eval perplexity.
type evalPerplexityFlags struct {
	model                   modelFlags
	data, index, corpus     string
	rows, compare, adapters []string
	windows, sink           int
	recipe                  eval.Recipe
	output, exported, graph string
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
	f.model.add(cmd)
	fs := cmd.Flags()
	fs.StringVar(&f.data, "data", "", "the `FILE` of documents to score, such as set.eval.jsonl.zst")
	fs.StringVar(&f.index, "index", "", "the index `DIR` that passages are looked up in")
	fs.StringVar(&f.corpus, "corpus", "", "instead of --index: the `FILE` of documents to index, once, in the cache")
	fs.StringSliceVar(&f.rows, "rows", []string{"none", "prepend", "virtual", "append"}, "rows to measure")
	fs.StringArrayVar(&f.adapters, "adapter", nil, "an adapter that rows may name, `NAME=DIR` (repeatable)")
	fs.StringArrayVar(&f.compare, "compare", nil, "two rows `A,B` to compare (repeatable; default: each row with none)")
	fs.IntVar(&f.windows, "windows", 0, "windows to score; 0: all")
	fs.IntVar(&f.recipe.Context, "context", 512, "longest context, in tokens")
	fs.IntVar(&f.recipe.Stride, "stride", 16, "target tokens a retrieval")
	fs.IntVar(&f.recipe.Every, "every", 1, "score only every `N`th stride")
	fs.IntVar(&f.sink, "sink", -1, "token `ID` put first in every text, for rows that name no other and models without a BOS; -1: none")
	fs.StringVarP(&f.output, "out", "o", "", "keep the scores in this `FILE`.jsonl, and go on from what it has")
	fs.StringVar(&f.exported, "export", "", "write each scored stride to this `FILE`.jsonl, for tools/reference/placements_eval.py")
	fs.StringVar(&f.graph, "plot", "", "draw the rows to this `FILE`.png (or .svg, .pdf)")
	return cmd
}

// parse checks the flags and returns the rows and which of them to compare.
func (f *evalPerplexityFlags) parse() (rows []eval.Row, pairs []eval.Pair, err error) {
	switch {
	case f.data == "":
		return nil, nil, usagef("name the documents to score with --data")
	case f.index != "" && f.corpus != "":
		return nil, nil, usagef("--index and --corpus: give one")
	case f.windows < 0:
		return nil, nil, usagef("--windows %d: must not be negative", f.windows)
	case int(int32(f.sink)) != f.sink || f.sink < -1:
		return nil, nil, usagef("--sink %d: must be a token's id", f.sink)
	}
	if err := f.recipe.Check(); err != nil {
		return nil, nil, usageError{err}
	}
	if rows, err = eval.ParseRows(f.rows, int32(f.sink)); err != nil {
		return nil, nil, usageError{fmt.Errorf("--rows: %w", err)}
	}
	for _, r := range rows {
		switch {
		case r.K > 0 && f.index == "" && f.corpus == "":
			return nil, nil, usagef("row %s needs passages: name an index with --index", r)
		case f.exported != "" && r.Branches() > 1:
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

func (f *evalPerplexityFlags) run(cmd *cobra.Command) (err error) {
	rows, pairs, err := f.parse()
	if err != nil {
		return err
	}
	if err := f.model.check(); err != nil {
		return err
	}
	m, err := f.model.load()
	if err != nil {
		return err
	}
	defer m.Close()
	lead := m.Tokenizer.Lead()
	for _, r := range rows {
		if len(lead) > 0 && r.Sink >= 0 {
			return usagef("row %s: this model's texts begin with its own token %d, %s, which is the sink: leave out the one that you name", r, lead[0], m.Tokenizer.Bytes(lead[0]))
		}
		if need := f.recipe.Positions(r); need > m.Config.Context {
			return usagef("row %s takes %d positions and the model has %d: shorten --context", r, need, m.Config.Context)
		}
	}
	windows, err := eval.Windows(corpus.Texts(corpus.Read(cmd.Context(), f.data, corpus.Options{Stdin: cmd.InOrStdin()})), m.Tokenizer, f.recipe, f.windows)
	if err != nil {
		return fmt.Errorf("%s: %w", f.data, err)
	}
	e, err := engine.New(&m.Weights, f.model.engineOptions())
	if err != nil {
		return err
	}
	defer e.Close()
	loaded, err := openNamed(f.adapters, rows, e.OpenAdapter)
	if err != nil {
		return err
	}
	adapters := map[string]eval.Adapter{}
	for name, a := range loaded {
		adapters[name] = eval.Adapter{Digest: a.Digest(), Marks: (*ralm.Marks)(a.Marks())}
	}
	evaluation := &eval.Evaluation{
		NewSequence: func(r eval.Row) eval.Sequence {
			s := e.NewSequence()
			s.SetAdapter(loaded[r.Adapter]) // of this engine, so it takes it
			return s
		},
		Adapters:  adapters,
		Tokenizer: m.Tokenizer, Lead: lead, Rows: rows, Recipe: f.recipe,
	}
	settings := eval.Settings{Model: filepath.Base(m.Path), Compute: string(e.Compute()), KV: f.model.kv, Data: filepath.Base(f.data), Recipe: f.recipe, BOS: len(lead) > 0}
	if f.index != "" || f.corpus != "" {
		index, err := f.openIndex(cmd)
		if err != nil {
			return err
		}
		defer index.Close()
		evaluation.Retriever = index
		info := index.Info()
		evaluation.Passages = &eval.Passages{Len: info.Passages, Read: index.Passage}
		settings.Index = fmt.Sprintf("%s: %d passages of %s", filepath.Base(cmp.Or(f.index, f.corpus)), info.Passages, info.Chunking)
	}
	log := eval.NewLog()
	if f.output != "" {
		if log, err = eval.OpenLog(f.output, settings, windows); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, log.Close()) }()
	}
	log.Use(adapters)
	bar := progress.New(cmd.ErrOrStderr(), "scoring windows", int64(len(windows)), false)
	err = evaluation.Run(cmd.Context(), windows, log, func() { bar.Add(1) })
	bar.Finish()
	if errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	return errors.Join(err, f.report(cmd.OutOrStdout(), eval.Summarise(log, rows, windows, pairs)), f.export(evaluation, windows, log))
}

// openIndex opens the index, or that of the corpus, which it makes if need be.
func (f *evalPerplexityFlags) openIndex(cmd *cobra.Command) (*bm25.Index, error) {
	dir := f.index
	if f.corpus != "" {
		documents, err := indexcache.Of(f.corpus)
		if err != nil {
			return nil, err
		}
		documents.Paper = true
		log := cmd.ErrOrStderr()
		if dir, err = keptIndex(cmd.Context(), documents, f.model.model, false, log, log); err != nil {
			return nil, err
		}
	}
	return bm25.Open(dir, bm25.Options{})
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
func (f *evalPerplexityFlags) export(e *eval.Evaluation, windows []eval.Window, log *eval.Log) error {
	if f.exported == "" {
		return nil
	}
	return atomicfile.Write(f.exported, func(w io.Writer) error {
		return e.Export(context.Background(), w, windows, log)
	})
}
