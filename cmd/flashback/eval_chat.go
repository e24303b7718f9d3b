package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/eval"
	"github.com/flashback-lm/flashback/internal/progress"
)

// evalChatFlags are the flags of eval chat.
type evalChatFlags struct {
	answeringFlags
	turns, articles int
}

func newEvalChatCmd() *cobra.Command {
	var f evalChatFlags
	cmd := &cobra.Command{
		Use:   "chat --data FILE",
		Short: "Measure what the turns of a conversation cost, beside pasting",
		Long: `Chat holds conversations of --turns questions on one article and prints the tokens
that each turn computes (prompt, prefilled and decoded). Each article has two: in one
all turns are shown the same -k passages, in the other each turn is shown passages
that no turn was shown before, its question's own first. What is found is given, so
costs do not depend on a retriever; no conversation finds what another has computed.

Beside the rows stands pasting, the same passages as text in front of each question:

  (i) removed   nothing is cached; when its turn has ended, a turn's passages go
                from the history
  (i) left in   nothing is cached; passages stay in the history, and are not pasted
                again while they are there
  (ii)          removed, and with a prefix cache: what a prompt begins with like the
                prompt and answer before is not computed
  (iii)         left in, with a prefix cache

Their costs are counted from the tokens of the prompts. Every row and both pasted
ones go on from their own answers.

FILE is .jsonl, perhaps .gz or .zst, a question a line with "question", "answers",
"passage_id", "passage_title" (the article) and "passage". Articles with too few
questions or passages are left out. Rows are those of 'flashback eval qa'.

With -o each answer is kept as a line of JSON, and the command goes on where an
earlier run with the same settings stopped.`,
		Example: `  flashback eval chat --data qa_squad2.jsonl.zst
  flashback eval chat --data qa_squad2.jsonl.zst --rows virtual,prepend -o chats.jsonl --plot chats.png`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.add(cmd, []string{"virtual"})
	fs := cmd.Flags()
	fs.IntVar(&f.turns, "turns", 10, "questions of a conversation")
	fs.IntVar(&f.articles, "articles", 16, "articles to talk about; 0: all")
	return cmd
}

func (f *evalChatFlags) run(cmd *cobra.Command) (err error) {
	rows, err := f.check(cmd)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.Pasted {
			return usagef("row %s: pasting is measured in any case", r)
		}
	}
	switch {
	case f.turns < 2:
		return usagef("--turns %d: a conversation has at least 2", f.turns)
	case f.articles < 0:
		return usagef("--articles %d: must not be negative", f.articles)
	}
	questions, err := eval.ReadQuestions(f.data, 0)
	if err != nil {
		return err
	}
	conversations, err := eval.Conversations(questions, f.turns, f.request.Passages, f.articles)
	if err != nil {
		return fmt.Errorf("%s: %w", f.data, err)
	}
	o := f.model.options()
	o.Retriever = eval.Found{}
	a, err := f.open(o, rows)
	if err != nil {
		return err
	}
	defer a.Close()
	answers, err := eval.OpenAnswers(f.output, struct {
		asSaid
		Turns int
	}{f.said(a), f.turns})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, answers.Close()) }()
	all := append([]eval.QARow{eval.Removed, eval.LeftIn}, rows...)
	bar := progress.New(cmd.ErrOrStderr(), "talking", int64(len(conversations)*len(all)), false)
	err = answers.Converse(cmd.Context(), all, conversations, f.atOnce, a.converse, func() { bar.Add(1) })
	bar.Finish()
	if errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	result := answers.SummariseChats(rows, conversations)
	err = errors.Join(err, result.Markdown(cmd.OutOrStdout()))
	if f.graph != "" && len(result.Kinds) > 0 {
		err = errors.Join(err, result.Plot(f.graph))
	}
	return err
}

// converse holds a conversation in a row's way.
func (a *answering) converse(ctx context.Context, row eval.QARow, c eval.Conversation) ([]eval.Answer, error) {
	chat := a.engine.NewChat(a.system)
	defer chat.Close()
	r := a.of(row)
	r.Salt = row.String() + " " + c.String()
	var answers []eval.Answer
	var before [][]int32       // texts of the turns, prompts and answers
	there := map[string]bool{} // passages that stand in the history as text
	for _, turn := range c.Turns {
		start := time.Now()
		answer, trace, err := a.turn(eval.WithTurn(ctx, turn), chat, row, turn.Question.Question, r, there)
		if err != nil {
			return nil, err
		}
		if n := chat.LeftOut(); n > 0 {
			return nil, fmt.Errorf("it is too long for the model, and %d of its turns were left out: ask fewer --turns", n)
		}
		answer.MS = float64(time.Since(start)) / float64(time.Millisecond)
		answer.Prompt = trace.Strides[0].Context
		if row.Pasted {
			prompt, err := a.prompt(chat.Messages())
			if err != nil {
				return nil, err
			}
			answer.Cached = eval.Cached(prompt, before)
			for _, s := range trace.Strides {
				prompt = append(prompt, s.Tokens...)
			}
			before = append(before, prompt)
			for _, id := range answer.Strides[0] {
				there[id] = row.Left
			}
			if !row.Left {
				messages := chat.Messages()
				messages[len(messages)-2].Content = turn.Question.Question
				chat.SetMessages(messages)
			}
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// prompt returns the tokens of the prompt that the last message answers.
func (a *answering) prompt(messages []flashback.Message) ([]int32, error) {
	return a.texts.Chat(messages[:len(messages)-1], true)
}
