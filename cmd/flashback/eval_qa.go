package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/eval"
	"github.com/flashback-lm/flashback/internal/progress"
)

// qaSystem asks for what exact match can match: small models answer in sentences
// unless they are told.
const qaSystem = "Answer the question with a name, a number or a few words only, no sentence. The passages may help."

// evalQAFlags are the flags of eval qa.
type evalQAFlags struct {
	model               modelFlags
	data, index, output string
	system              string
	rows, adapters      []string
	limit, tokens       int
	passageLen          int
}

func newEvalQACmd() *cobra.Command {
	var f evalQAFlags
	cmd := &cobra.Command{
		Use:   "qa --data FILE --index DIR",
		Short: "Measure how well questions are answered",
		Long: `Qa asks questions in a chat as 'flashback ask' does, without examples, and compares
the first line of each answer with the right ones by SQuAD's exact match and F1:
without case, punctuation and articles, the best over all right answers.

FILE is .jsonl, perhaps .gz or .zst, a question a line: "question" and "answers",
a list, perhaps an "id". A row is a placement and its options, as in
'flashback eval perplexity'; none is the closed book. Rows with an adapter show
passages between its marks, if it has them. Intervals are of a
bootstrap over the questions.

With -o each answer is kept as a line of JSON, and the command goes on where an
earlier run with the same settings stopped.`,
		Example: `  flashback index qa_passages.jsonl.zst -o qa.index
  flashback eval qa --data qa_nq.jsonl.zst --index qa.index --limit 200 -o answers.jsonl
  flashback eval qa --data questions.jsonl --index qa.index --rows none,virtual:k=2,append:echo=16
  flashback eval qa --data questions.jsonl --index qa.index --adapter mine=runs/mine --rows append,append:adapter=mine`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.model.add(cmd)
	fs := cmd.Flags()
	fs.StringVar(&f.data, "data", "", "the `FILE` of questions")
	fs.StringVar(&f.index, "index", "", "the index `DIR` that passages are looked up in")
	fs.StringSliceVar(&f.rows, "rows", []string{"none", "prepend", "virtual", "append"}, "rows to measure")
	fs.StringArrayVar(&f.adapters, "adapter", nil, "an adapter that rows may name, `NAME=DIR` (repeatable)")
	fs.IntVar(&f.limit, "limit", 200, "questions to ask; 0: all")
	fs.IntVar(&f.tokens, "tokens", 32, "tokens of an answer at most")
	fs.IntVar(&f.passageLen, "passage-len", flashback.Defaults().PassageLen, "tokens at which a passage is cut")
	fs.StringVar(&f.system, "system", qaSystem, "the system `MESSAGE`; empty: the model's own")
	fs.StringVarP(&f.output, "out", "o", "", "keep the answers in this `FILE`.jsonl, and go on from what it has")
	return cmd
}

func (f *evalQAFlags) run(cmd *cobra.Command) (err error) {
	switch {
	case f.data == "":
		return usagef("name the questions with --data")
	case f.limit < 0:
		return usagef("--limit %d: must not be negative", f.limit)
	case f.tokens < 1:
		return usagef("--tokens %d: must be at least 1", f.tokens)
	}
	rows, err := eval.ParseRows(f.rows, -1)
	if err != nil {
		return usageError{err}
	}
	for _, r := range rows {
		if r.K > 0 && f.index == "" {
			return usagef("row %s needs passages: name an index with --index", r)
		}
		if r.Sink >= 0 {
			return usagef("row %s: a chat begins with its template's token", r)
		}
		if r.Random {
			return usagef("row %s: a chat takes the best passages", r)
		}
	}
	if err := f.model.check(); err != nil {
		return err
	}
	questions, err := eval.ReadQuestions(f.data, f.limit)
	if err != nil {
		return err
	}
	o := f.model.options()
	o.Index = f.index
	engine, err := flashback.Open(o)
	if err != nil {
		return err
	}
	defer engine.Close()
	adapters, err := openNamed(f.adapters, rows, engine.LoadAdapter)
	if err != nil {
		return err
	}
	digests := map[string]string{}
	for name, a := range adapters {
		digests[name] = a.Digest()
	}
	passageLen := f.passageLen
	if passageLen == flashback.Defaults().PassageLen {
		passageLen = 0
	}
	answers, err := eval.OpenAnswers(f.output, struct {
		Model, Compute, Data, Index, System string
		Tokens                              int
		Adapters                            map[string]string `json:",omitempty"` // digests by name
		KV                                  string            `json:",omitempty"` // where not as the compute says
		PassageLen                          int               `json:",omitempty"` // where not the default
	}{filepath.Base(engine.Info().Model), engine.Info().Compute, filepath.Base(f.data), filepath.Base(f.index), f.system, f.tokens, digests, f.model.kv, passageLen})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, answers.Close()) }()
	bar := progress.New(cmd.ErrOrStderr(), "asking", int64(len(questions)), false)
	err = answers.Ask(cmd.Context(), rows, questions, func(ctx context.Context, r eval.Row, question string) (string, []string, error) {
		return f.ask(ctx, engine, adapters[r.Adapter], r, question)
	}, func() { bar.Add(1) })
	bar.Finish()
	if errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	return errors.Join(err, answers.Markdown(cmd.OutOrStdout(), rows, questions))
}

// ask asks one question in a chat of its own, with the row's adapter, if it has one.
// Passages are looked up once, with the question.
func (f *evalQAFlags) ask(ctx context.Context, engine *flashback.Engine, a *flashback.Adapter, row eval.Row, question string) (string, []string, error) {
	chat := engine.NewChat(f.system)
	defer chat.Close()
	r := flashback.Request{
		Adapter: a, Placement: row.Placement.Name, Echo: &row.Placement.Echo, Passages: row.K, PassageLen: f.passageLen,
		Stride: f.tokens, MaxTokens: f.tokens, Stop: []string{"\n"},
	}
	var trace flashback.Trace
	for event, err := range chat.Ask(ctx, question, r) {
		if err != nil {
			return "", nil, err
		}
		trace.Add(event)
	}
	if err := ctx.Err(); err != nil {
		return "", nil, err // the answer is not whole
	}
	var ids []string
	for _, p := range trace.Sources() {
		ids = append(ids, p.ID)
	}
	return strings.TrimSpace(trace.Text()), ids, nil
}
