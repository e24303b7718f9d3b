package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/adapters"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/stream"
	"github.com/flashback-lm/flashback/internal/terminal"
)

// askSystem is the system message of ask and demo; docs/answers.md says why.
const askSystem = "Answer the question in one or two sentences, with what the passages say."

// askFlags are the flags of ask.
type askFlags struct {
	model   modelFlags
	request *requestFlags
	system  string
	json    bool
	stats   bool
}

func newAskCmd() *cobra.Command {
	var f askFlags
	cmd := &cobra.Command{
		Use:   "ask [QUESTION]",
		Short: "Answer questions from your documents",
		Long: `Ask answers a question from the passages of one index or several. Passages are
looked up with the question, then every --stride tokens with the question and the
last tokens of the answer. Those that made a difference to the answer are listed
behind it as numbered sources, with the sentences that each made a difference to;
where none did, the answer is not from your documents, and ask says so.

The default model answers with an adapter for answers that comes with the program:
in few words, from one passage, which stands behind the question as in FlashBack.
--adapter none, another --placement or another --model leaves it out.

Without a question on a terminal it is a conversation, whose KV cache is kept from
turn to turn; /help lists what else may be typed. What is pasted is one question.
A question that refers back ("And the windscreen?") is looked up with those that it
goes on from. Where it would get longer than the model reads, its oldest turns go.
Elsewhere the question is read from standard input.

Ctrl-C ends the answer and prints what was done, with exit code 130; in a
conversation it ends the answer only.`,
		Example: `  flashback ask --index notes.index "Where do we keep the keys?"
  flashback ask --index notes.index
  echo "Where do we keep the keys?" | flashback ask --index notes.index --json
  flashback ask --index notes.index --index mail.index "When do we meet?"
  flashback ask --index notes.index --placement prepend -k 2 "Who wrote this?"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !f.request.retrieves() && len(args) > 0 && bm25.IsIndex(args[0]) {
				f.request.indexes, args = args[:1], args[1:] // as search takes it
			}
			return f.run(cmd, strings.Join(args, " "))
		},
	}
	f.model.add(cmd)
	f.model.remote.add(cmd)
	addTemplate(cmd.Flags(), &f.model.template)
	f.request = newRequestFlags(cmd, flashback.AnswerDefaults(), true)
	fs := cmd.Flags()
	fs.Lookup("sink").Hidden = true // all chats begin with the same token
	fs.StringVar(&f.system, "system", askSystem, "the system `MESSAGE`; empty: the model's own")
	fs.BoolVar(&f.json, "json", false, "print the answer with its sources and its whole trace as one JSON object")
	fs.BoolVar(&f.stats, "stats", false, "say on standard error what was computed")
	return cmd
}

func (f *askFlags) run(cmd *cobra.Command, question string) error {
	if err := f.model.check(); err != nil {
		return err
	}
	if !f.request.retrieves() && !cmd.Flags().Changed("placement") {
		return usagef("name the index to answer from with --index ('flashback index' makes one) or a service with --retriever, or ask without passages by --placement none")
	}
	if !f.model.remote.used() { // it has its own weights
		if err := f.request.adapter.choose(cmd, f.model.model, f.request.Placement); err != nil {
			return err
		}
	}
	r, err := f.request.request(cmd, f.model.remote.used())
	if err != nil {
		return err
	}
	in, isFile := cmd.InOrStdin().(*os.File)
	talks := question == "" && isFile && terminal.Is(in)
	if talks && f.json {
		return usagef("--json prints one answer: give the question")
	}
	if question == "" && !talks {
		if question, err = readQuestion(cmd.Context(), cmd.InOrStdin()); err != nil {
			return err
		}
	}
	if talks {
		// What is typed while the model loads or answers waits for the editor, uncut.
		if restore, err := terminal.Unbuffered(in); err == nil {
			defer restore()
		}
	}
	engine, err := f.request.open(&f.model, &r)
	if err != nil {
		return err
	}
	defer engine.Close()
	if f.request.adapter.own {
		fmt.Fprintf(cmd.ErrOrStderr(), "Answering with the adapter %s; --adapter %s asks the model alone.\n\n", adapters.AnswersName, noAdapter)
	}
	a := &asker{engine: engine, chat: engine.NewChat(f.system), system: f.system, request: r, stats: f.stats, out: cmd.OutOrStdout(), log: cmd.ErrOrStderr()}
	defer func() { a.chat.Close() }()
	switch {
	case talks:
		return a.talk(cmd.Context(), in)
	case f.json:
		return a.json(cmd.Context(), question)
	}
	return a.answer(cmd.Context(), question)
}

// readQuestion reads a question that was not on the command line.
func readQuestion(ctx context.Context, in io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(stream.Reader(ctx, in), maxPrompt+1))
	switch question := strings.TrimSpace(string(text)); {
	case ctx.Err() != nil:
		return "", errInterrupted
	case err != nil:
		return "", fmt.Errorf("cannot read the question: %w", err)
	case len(text) > maxPrompt:
		return "", fmt.Errorf("the question on standard input is larger than %d MiB: shorten it", maxPrompt>>20)
	case question == "":
		return "", usagef("give a question, on the command line or on standard input")
	default:
		return question, nil
	}
}

// asker asks the questions of one chat.
type asker struct {
	engine   *flashback.Engine
	chat     *flashback.Chat
	system   string
	request  flashback.Request
	stats    bool
	out, log io.Writer
	turns    []turn // since the conversation began
	saved    string // the file that it was saved to last
}

// turn is a question with its answer.
type turn struct {
	question, answer string
	provenance       *flashback.Provenance // nil where it is not known
}

// answer writes an answer with its sources, and on log what was computed if that is
// asked for.
func (a *asker) answer(ctx context.Context, question string) error {
	shown := follower{out: a.out}
	stopped := shown.follow(a.chat.Ask(ctx, question, a.request))
	if n := a.chat.LeftOut(); n > 0 {
		fmt.Fprintf(a.log, "\n\nThe conversation is full: its oldest turns (%d) were left out. /new starts over.\n", n)
	}
	if shown.Finish == nil {
		return stopped
	}
	fmt.Fprint(a.out, "\n\n")
	t := turn{question: question, answer: shown.Text()}
	switch {
	case strings.TrimSpace(t.answer) == "" && stopped == nil:
		fmt.Fprint(a.log, "The model ended its answer before the first word.\n\n")
	case shown.Finish.Reason == ralm.Limit:
		fmt.Fprintf(a.log, "The answer was cut at %d tokens; --tokens allows more.\n\n", shown.Finish.Tokens)
	case shown.Finish.Reason == ralm.Length:
		fmt.Fprint(a.log, "The answer was cut where the model reads no further.\n\n")
	}
	if a.request.Placement != "none" && stopped == nil {
		p, err := a.chat.Provenance(ctx)
		switch {
		case err == nil:
			t.provenance = &p
			printProvenance(a.out, p)
		case errors.Is(err, flashback.ErrUnsupported):
			printInSight(a.out, &shown.Trace)
		case ctx.Err() != nil:
			stopped = errInterrupted
		default:
			fmt.Fprintf(a.log, "flashback: cannot tell what the answer is from: %v\n", err)
		}
	}
	a.turns = append(a.turns, t)
	if a.stats {
		printSummary(a.log, *shown.Finish)
	}
	return stopped
}

// json writes an answer with its sources and its trace.
func (a *asker) json(ctx context.Context, question string) error {
	shown := follower{out: io.Discard}
	stopped := shown.follow(a.chat.Ask(ctx, question, a.request))
	if shown.Finish == nil {
		return stopped
	}
	t := tracedAnswer{tracedText: traced(a.request, a.engine, &shown.Trace)}
	t.Question = question
	if a.request.Placement != "none" && stopped == nil {
		p, err := a.chat.Provenance(ctx)
		if err == nil {
			t.Provenance = &p
		} else if !errors.Is(err, flashback.ErrUnsupported) {
			return err
		}
	}
	if err := writeJSON(a.out, t); err != nil {
		return err
	}
	return stopped
}

// tracedAnswer is what --json prints.
type tracedAnswer struct {
	tracedText
	*flashback.Provenance
}
