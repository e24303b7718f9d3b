package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/eval"
	"github.com/flashback-lm/flashback/internal/progress"
)

// shortSystem asks for what exact match can match: small models answer in sentences
// unless they are told.
const shortSystem = "Answer the question with a name, a number or a few words only, no sentence. The passages may help."

// evalQAFlags are the flags of eval qa.
type evalQAFlags struct {
	answeringFlags
	index   string
	short   bool
	looks   bool
	against string
	limit   int
}

func newEvalQACmd() *cobra.Command {
	var f evalQAFlags
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

With --unanswerable rows with evidence are asked once more without the passages of the
question's article ("passage_title"): how often they say rightly that the answer is
not in the documents, and how often wrongly while the article is there.

FILE is .jsonl, perhaps .gz or .zst, a question a line: "question" and "answers",
a list, perhaps "id", and "passage_id", the document that answers it. A row is a
placement and its options, as in 'flashback eval perplexity':

  none               no passages
  virtual  append  prepend
  pasted             the same passages as plain text in front of the question, in
                     the user's message, without any evidence
  virtual:stride=48  look passages up every 48 tokens
  virtual:k=1        options as there: k=N, echo=N, echo=turn, apart=N, adapter=NAME

What a row does not name is as in 'flashback ask', but for the adapter: a row has none
unless it names one.

With -o each answer is kept as a line of JSON, and the command goes on where an
earlier run with the same settings stopped.`,
		Example: `  flashback index qa_passages.jsonl.zst --chunk tokens:400 -o qa.index
  flashback eval qa --data qa_squad2.jsonl.zst --index qa.index --against pasted
  flashback eval qa --data questions.jsonl --index qa.index --rows none,pasted,virtual,virtual:stride=48 -o answers.jsonl --plot answers.png
  flashback eval qa --data questions.jsonl --index qa.index --adapter mine=runs/mine --rows pasted,append:adapter=mine
  flashback eval qa --data questions.jsonl --index qa.index --short --tokens 32`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.add(cmd, []string{"none", "pasted", "prepend", "virtual", "append"})
	fs := cmd.Flags()
	fs.StringVar(&f.index, "index", "", "the index `DIR` that passages are looked up in")
	fs.StringVar(&f.against, "against", "", "the `ROW` to compare the others with")
	fs.IntVar(&f.limit, "limit", 200, "questions to ask; 0: all")
	fs.BoolVar(&f.looks, "unanswerable", false, "ask each question a second time without the passages of its article, and look how often an answer is said not to be in the documents")
	fs.BoolVar(&f.short, "short", false, "ask for a few words instead of sentences, and take the first line, as exact match wants it")
	return cmd
}

// parse checks the flags and returns the rows.
func (f *evalQAFlags) parse(cmd *cobra.Command) ([]eval.QARow, error) {
	rows, err := f.check(cmd)
	if err != nil {
		return nil, err
	}
	if f.limit < 0 {
		return nil, usagef("--limit %d: must not be negative", f.limit)
	}
	against := f.against == ""
	for _, r := range rows {
		if r.K > 0 && f.index == "" {
			return nil, usagef("row %s needs passages: name an index with --index", r)
		}
		if r.Left {
			return nil, usagef("row %s: a question alone has no turns before it", r)
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
	return rows, nil
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
	var unanswerable []eval.Question
	if f.looks {
		if unanswerable, err = eval.Unanswerable(questions); err != nil {
			return fmt.Errorf("%s: %w", f.data, err)
		}
	}
	o := f.model.options()
	if f.index != "" {
		o.Indexes = []string{f.index}
	}
	a, err := f.open(o, rows)
	if err != nil {
		return err
	}
	defer a.Close()
	a.looks = f.looks
	answers, err := eval.OpenAnswers(f.output, struct {
		asSaid
		Index        string
		Short        bool
		Unanswerable bool
	}{f.said(a), filepath.Base(f.index), f.short, f.looks})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, answers.Close()) }()
	looking := eval.Looking(rows)
	bar := progress.New(cmd.ErrOrStderr(), "asking", int64(len(questions)*len(rows)+len(unanswerable)*len(looking)), false)
	err = answers.Ask(cmd.Context(), rows, questions, f.atOnce, a.ask, func() { bar.Add(1) })
	if err == nil {
		err = answers.Ask(cmd.Context(), looking, unanswerable, f.atOnce, a.ask, func() { bar.Add(1) })
	}
	bar.Finish()
	if errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	err = errors.Join(err, f.report(cmd, answers.Summarise(rows, questions, f.against)))
	if f.looks {
		err = errors.Join(err, answers.Refusals(rows, questions, unanswerable).Markdown(cmd.OutOrStdout()))
	}
	return err
}

func (f *evalQAFlags) report(cmd *cobra.Command, r eval.QAResult) error {
	if err := r.Markdown(cmd.OutOrStdout()); err != nil || f.graph == "" || r.Questions == 0 {
		return err
	}
	return r.Plot(f.graph, strings.TrimSuffix(filepath.Base(f.data), ".zst"))
}
