package main

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/eval"
	"github.com/flashback-lm/flashback/internal/progress"
)

// shortSystem asks for what exact match can match: small models answer in sentences
// unless they are told.
const shortSystem = "Answer the question with a name, a number or a few words only, no sentence. The passages may help."

// evalQAFlags are the flags of eval qa.
type evalQAFlags struct {
	model          modelFlags
	data, index    string
	output, graph  string
	system         string
	short          bool
	rows, adapters []string
	against        string
	limit, atOnce  int
	request        flashback.Request
}

func newEvalQACmd() *cobra.Command {
	f := evalQAFlags{request: flashback.AnswerDefaults()}
	cmd := &cobra.Command{
		Use:   "qa --data FILE --index DIR",
		Short: "Measure how well questions are answered",
		Long: `Qa asks each question in a chat of its own as 'flashback ask' does, in every row, and
prints a Markdown table:

  in answer        a right answer's words stand in the answer, in their order
  exact match, F1  SQuAD's, of the whole answer; --short asks for answers fit for them
  gold shown       the question's own passage was among those shown, by stride
  tokens computed  prompt, prefilled and decoded; nothing is kept from other questions
  ms               from question to answer, with --at-once questions asked side by side

Words are compared without case, punctuation and articles. Intervals are of a
bootstrap over questions; --against compares rows with one of them on the same
questions.

FILE is .jsonl, perhaps .gz or .zst, a question a line: "question" and "answers",
a list, perhaps "id", and "passage_id", the document that answers it. A row is a
placement and its options, as in 'flashback eval perplexity':

  none               no passages
  virtual  append  prepend
  pasted             the same passages as plain text in front of the question, in
                     the user's message, without any evidence
  virtual:stride=48  look passages up every 48 tokens
  virtual:k=1        options as there: k=N, echo=N, echo=turn, adapter=NAME

What a row does not name is as in 'flashback ask'.

With -o each answer is kept as a line of JSON, and the command goes on where an
earlier run with the same settings stopped.`,
		Example: `  flashback index qa_passages.jsonl.zst --chunk tokens:400 -o qa.index
  flashback eval qa --data qa_squad2.jsonl.zst --index qa.index --passage-len 400 --against pasted
  flashback eval qa --data questions.jsonl --index qa.index --rows none,pasted,virtual,virtual:stride=48 -o answers.jsonl --plot answers.png
  flashback eval qa --data questions.jsonl --index qa.index --adapter mine=runs/mine --rows pasted,append:adapter=mine
  flashback eval qa --data questions.jsonl --index qa.index --short --tokens 32`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.model.add(cmd)
	fs := cmd.Flags()
	fs.StringVar(&f.data, "data", "", "the `FILE` of questions")
	fs.StringVar(&f.index, "index", "", "the index `DIR` that passages are looked up in")
	fs.StringSliceVar(&f.rows, "rows", []string{"none", "pasted", "prepend", "virtual", "append"}, "rows to measure")
	fs.StringVar(&f.against, "against", "", "the `ROW` to compare the others with")
	fs.StringArrayVar(&f.adapters, "adapter", nil, "an adapter that rows may name, `NAME=DIR` (repeatable)")
	fs.IntVar(&f.limit, "limit", 200, "questions to ask; 0: all")
	fs.IntVar(&f.request.MaxTokens, "tokens", 48, "tokens of an answer at most")
	d := &f.request
	fs.IntVarP(&d.Passages, "k", "k", d.Passages, "passages a look-up, of rows that name no k")
	fs.IntVar(&d.Stride, "stride", d.Stride, "tokens from one look-up to the next, of rows that name no stride")
	fs.IntVar(&d.QueryLen, "query-len", d.QueryLen, "last tokens of the answer that later look-ups add to the question")
	fs.IntVar(&d.PassageLen, "passage-len", d.PassageLen, "tokens at which a passage is cut")
	fs.Float64Var(&d.Sampling.RepeatPenalty, "repeat-penalty", d.Sampling.RepeatPenalty, "hold back tokens of the last text; 1: do not")
	fs.StringVar(&f.system, "system", askSystem, "the system `MESSAGE`; empty: the model's own")
	fs.BoolVar(&f.short, "short", false, "ask for a few words instead of sentences, and take the first line, as exact match wants it")
	fs.IntVar(&f.atOnce, "at-once", runtime.NumCPU(), "questions to ask side by side; changes no answer")
	fs.StringVarP(&f.output, "out", "o", "", "keep the answers in this `FILE`.jsonl, and go on from what it has")
	fs.StringVar(&f.graph, "plot", "", "draw what the rows are worth and cost to this `FILE`.png (or .svg, .pdf)")
	return cmd
}

// parse checks the flags and returns the rows.
func (f *evalQAFlags) parse(cmd *cobra.Command) ([]eval.QARow, error) {
	if f.data == "" {
		return nil, usagef("name the questions with --data")
	}
	if f.limit < 0 {
		return nil, usagef("--limit %d: must not be negative", f.limit)
	}
	for _, c := range []struct {
		name  string
		value int
	}{
		{"tokens", f.request.MaxTokens}, {"k", f.request.Passages}, {"stride", f.request.Stride}, {"query-len", f.request.QueryLen},
		{"passage-len", f.request.PassageLen}, {"at-once", f.atOnce},
	} {
		if c.value < 1 {
			return nil, usagef("--%s %d: must be at least 1", c.name, c.value)
		}
	}
	rows, err := eval.ParseQARows(f.rows)
	if err != nil {
		return nil, usageError{err}
	}
	against := f.against == ""
	for _, r := range rows {
		if r.K > 0 && f.index == "" {
			return nil, usagef("row %s needs passages: name an index with --index", r)
		}
		against = against || r.String() == f.against
	}
	if !against {
		return nil, usagef("--against %s: is not among the rows", f.against)
	}
	if f.short {
		if cmd.Flags().Changed("system") {
			return nil, usagef("--short brings its own system message: give --short or --system")
		}
		f.system, f.request.Stop = shortSystem, []string{"\n"}
	}
	return rows, f.model.check()
}

func (f *evalQAFlags) run(cmd *cobra.Command) (err error) {
	rows, err := f.parse(cmd)
	if err != nil {
		return err
	}
	questions, err := eval.ReadQuestions(f.data, f.limit)
	if err != nil {
		return err
	}
	a, err := openAnswering(f.model, f.index, f.adapters, rows)
	if err != nil {
		return err
	}
	defer a.Close()
	a.system, a.request = f.system, f.request
	answers, err := eval.OpenAnswers(f.output, f.settings(a))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, answers.Close()) }()
	bar := progress.New(cmd.ErrOrStderr(), "asking", int64(len(questions)*len(rows)), false)
	err = answers.Ask(cmd.Context(), rows, questions, f.atOnce, a.ask, func() { bar.Add(1) })
	bar.Finish()
	if errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	return errors.Join(err, f.report(cmd, answers.Summarise(rows, questions, f.against)))
}

// settings are what all answers of a file have in common.
func (f *evalQAFlags) settings(a *answering) any {
	digests := map[string]string{}
	for name, a := range a.adapters {
		digests[name] = a.Digest()
	}
	info := a.engine.Info()
	r := f.request
	return struct {
		Model, Compute, Data, Index, System            string
		Short                                          bool
		Tokens, Passages, Stride, QueryLen, PassageLen int
		RepeatPenalty                                  float64
		AtOnce                                         int
		Adapters                                       map[string]string `json:",omitempty"` // digests by name
		KV                                             string            `json:",omitempty"` // where not as the compute says
	}{
		filepath.Base(info.Model), info.Compute, filepath.Base(f.data), filepath.Base(f.index), f.system, f.short,
		r.MaxTokens, r.Passages, r.Stride, r.QueryLen, r.PassageLen, r.Sampling.RepeatPenalty, f.atOnce, digests, f.model.kv,
	}
}

func (f *evalQAFlags) report(cmd *cobra.Command, r eval.QAResult) error {
	if err := r.Markdown(cmd.OutOrStdout()); err != nil || f.graph == "" || r.Questions == 0 {
		return err
	}
	return r.Plot(f.graph, strings.TrimSuffix(filepath.Base(f.data), ".zst"))
}
