package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/eval"
	"github.com/flashback-lm/flashback/internal/indexcache"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/progress"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// scoringFlags are the flags of commands that score real text beside evidence.
type scoringFlags struct {
	model               modelFlags
	data, index, corpus string
	windows             int
	recipe              eval.Recipe
	output              string
	accepts             func(name string, info lora.Info) error // refuses adapters that are not their rows'; nil: takes all
	own                 bool                                    // passages must have been cut by the model's own tokens
}

// add gives the command the flags, but for that of the corpus.
func (f *scoringFlags) add(cmd *cobra.Command) {
	f.model.add(cmd)
	fs := cmd.Flags()
	fs.StringVar(&f.data, "data", "", "the `FILE` of documents to score, such as set.eval.jsonl.zst")
	fs.StringVar(&f.index, "index", "", "the index `DIR` that passages are looked up in")
	fs.IntVar(&f.windows, "windows", 0, "windows to score; 0: all")
	fs.IntVar(&f.recipe.Context, "context", 512, "longest context, in tokens")
	fs.IntVar(&f.recipe.Stride, "stride", 16, "target tokens a retrieval")
	fs.IntVar(&f.recipe.Every, "every", 1, "score only every `N`th stride")
	fs.StringVarP(&f.output, "out", "o", "", "keep the scores in this `FILE`.jsonl, and go on from what it has")
}

// check returns a usage error for flags with which the rows cannot be scored.
func (f *scoringFlags) check(rows []eval.Row) error {
	switch {
	case f.data == "":
		return usagef("name the documents to score with --data")
	case f.index != "" && f.corpus != "":
		return usagef("--index and --corpus: give one")
	case f.windows < 0:
		return usagef("--windows %d: must not be negative", f.windows)
	}
	if err := f.recipe.Check(); err != nil {
		return usageError{err}
	}
	for _, r := range rows {
		if r.K > 0 && f.index == "" && f.corpus == "" {
			return usagef("row %s needs passages: name an index with --index", r)
		}
	}
	return nil
}

// open opens the model.
func (f *scoringFlags) open() (*model.Model, error) {
	if err := f.model.check(); err != nil {
		return nil, err
	}
	return f.model.load()
}

// fits returns a usage error for a row that the model cannot score.
func (f *scoringFlags) fits(r eval.Row, m *model.Model) error {
	lead, learned := m.Tokenizer.Lead(), m.Config.Positions > 0
	switch {
	case len(lead) > 0 && r.Sink >= 0:
		return usagef("row %s: this model's texts begin with its own token %d, %s, which is the sink: leave out the one that you name", r, lead[0], m.Tokenizer.Bytes(lead[0]))
	case r.Placement.Reserve > 0 && !learned:
		return usagef("row %s: this model's positions are rotary, so its text needs no reserve", r)
	}
	r.Placement = r.Placement.For(learned, f.model.reserve)
	if need := f.recipe.Positions(r); need > m.Config.Context {
		return usagef("row %s takes %d positions and the model has %d: shorten --context", r, need, m.Config.Context)
	}
	return nil
}

// scored is what an evaluation left.
type scored struct {
	evaluation *eval.Evaluation
	windows    []eval.Window
	log        *eval.Log
}

// score scores the rows with the adapters, NAME=DIR, and gives what is complete to report;
// also what was when Ctrl-C ended it.
func (f *scoringFlags) score(cmd *cobra.Command, m *model.Model, rows []eval.Row, named []string, report func(*scored) error) (err error) {
	for _, r := range rows {
		if err := f.fits(r, m); err != nil {
			return err
		}
	}
	index, err := f.openIndex(cmd, m)
	if err != nil {
		return err
	}
	if index != nil {
		defer index.Close()
	}
	windows, err := eval.Windows(corpus.Texts(corpus.Read(cmd.Context(), f.data, corpus.Options{Stdin: cmd.InOrStdin()})), m.Tokenizer, f.recipe, f.windows)
	if err != nil {
		return fmt.Errorf("%s: %w", f.data, err)
	}
	options, err := f.engineOptions(m, rows)
	if err != nil {
		return err
	}
	e, err := engine.New(&m.Weights, options)
	if err != nil {
		return err
	}
	defer e.Close()
	loaded, err := openNamed(named, rows, e.OpenAdapter)
	if err != nil {
		return err
	}
	adapters := map[string]eval.Adapter{}
	for name, a := range loaded {
		if f.accepts != nil {
			if err := f.accepts(name, a.Source().Info); err != nil {
				return err
			}
		}
		adapters[name] = eval.Adapter{Digest: a.Digest(), Marks: (*ralm.Marks)(a.Marks())}
	}
	lead := m.Tokenizer.Lead()
	s := &scored{windows: windows, log: eval.NewLog()}
	s.evaluation = &eval.Evaluation{
		NewSequence: func(r eval.Row) eval.Sequence {
			s := e.NewSequence()
			s.SetAdapter(loaded[r.Adapter]) // of this engine, so it takes it
			return s
		},
		Adapters:  adapters,
		Tokenizer: m.Tokenizer, Lead: lead, Rows: rows, Recipe: f.recipe, Place: e.Place,
	}
	settings := eval.Settings{Model: filepath.Base(m.Path), Compute: string(e.Compute()), KV: f.model.kv, Rounded: f.model.quantize, Data: filepath.Base(f.data), Recipe: f.recipe, BOS: len(lead) > 0}
	if m.Config.Positions > 0 {
		settings.Reserve = f.model.reserve
	}
	if index != nil {
		s.evaluation.Retriever = index
		info := index.Info()
		s.evaluation.Passages = &eval.Passages{Len: info.Passages, Read: index.Passage}
		settings.Index = fmt.Sprintf("%s: %d passages of %s", filepath.Base(cmp.Or(f.index, f.corpus)), info.Passages, info.Chunking)
	}
	if f.output != "" {
		if s.log, err = eval.OpenLog(f.output, settings, windows); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.log.Close()) }()
	}
	s.log.Use(adapters)
	bar := progress.New(cmd.ErrOrStderr(), "scoring windows", int64(len(windows)), false)
	err = s.evaluation.Run(cmd.Context(), windows, s.log, func() { bar.Add(1) })
	bar.Finish()
	if errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	return errors.Join(err, report(s))
}

// engineOptions returns the engine's, with memory for a text of each row: those of other
// starts or adapters are kept side by side.
func (f *scoringFlags) engineOptions(m *model.Model, rows []eval.Row) (engine.Options, error) {
	options := f.model.engineOptions()
	if options.KVBudget > 0 {
		return options, nil
	}
	kv, err := options.KVFormat(m.Config)
	if err != nil {
		return options, err
	}
	passage, pages := kvcache.Blocks(ralm.Defaults().PassageLen)+1, 0
	for _, r := range rows {
		r.Placement = r.Placement.For(m.Config.Positions > 0, f.model.reserve)
		pages += kvcache.Blocks(f.recipe.Positions(r)) + 1 + r.K*passage
	}
	options.KVBudget = max(engine.DefaultKVBudget(m.Config, kv), int64(pages*kvcache.PageTokens)*int64(engine.KVShape(m.Config, kv).TokenBytes()))
	return options, nil
}

// openIndex opens the index, or that of the corpus, which it makes if need be; nil where
// neither is named.
func (f *scoringFlags) openIndex(cmd *cobra.Command, m *model.Model) (*bm25.Index, error) {
	dir := f.index
	switch {
	case f.corpus != "":
		documents, err := indexcache.Of(f.corpus)
		if err != nil {
			return nil, err
		}
		documents.Paper = true
		log := cmd.ErrOrStderr()
		if dir, err = keptIndex(cmd.Context(), documents, f.model.model, false, log, log); err != nil {
			return nil, err
		}
	case dir == "":
		return nil, nil
	}
	index, err := bm25.Open(dir, bm25.Options{})
	if err != nil || !f.own {
		return index, err
	}
	if err := cutBy(index, m.Tokenizer, dir, f.model.model); err != nil {
		return nil, errors.Join(err, index.Close())
	}
	return index, nil
}
