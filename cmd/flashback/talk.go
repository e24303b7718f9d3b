package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/flashback-lm/flashback/internal/terminal"
)

const talkHelp = `  /sources    show the passages that were in sight of the last answer
  /save FILE  write the conversation with its sources to a Markdown file
  /new        start over
  /help       show this
  /quit       end; so do Ctrl-C and Ctrl-D
  Ctrl-C while an answer is written ends that answer.`

// talk is a conversation on a terminal. Ctrl-C ends an answer there and not the
// command, so only the signal to terminate counts as the command's end.
func (a *asker) talk(ctx context.Context, in *os.File) error {
	ctx, done := signal.NotifyContext(context.WithoutCancel(ctx), syscall.SIGTERM)
	defer done()
	fmt.Fprintln(a.log, "Ask a question. /sources shows the passages behind the last answer, /help all that may be typed.")
	return a.converse(ctx, newLineEditor(ctx, in, terminal.Raw(a.log)).readLine)
}

// converse answers line after line, until there is none.
func (a *asker) converse(ctx context.Context, readLine func() (string, error)) error {
	for {
		line, err := readLine()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read the question: %w", err)
		}
		switch line = strings.TrimSpace(line); {
		case line == "":
		case line == "/quit":
			return nil
		case line == "/help":
			fmt.Fprintln(a.log, talkHelp)
		case line == "/new":
			a.chat.Close()
			a.chat, a.turns, a.saved = a.engine.NewChat(a.system), nil, ""
			fmt.Fprintln(a.log, "a new conversation")
		case line == "/sources":
			a.showSources()
		case line == "/save" || strings.HasPrefix(line, "/save "):
			if err := a.save(strings.TrimSpace(strings.TrimPrefix(line, "/save"))); err != nil {
				fmt.Fprintf(a.log, "flashback: %v\n", err)
			}
		case strings.HasPrefix(line, "/"):
			fmt.Fprintf(a.log, "there is no %s; there are:\n%s\n", line, talkHelp)
		default:
			a.turn(ctx, line)
		}
	}
}

// turn answers one question; Ctrl-C ends the answer.
func (a *asker) turn(ctx context.Context, question string) {
	ctx, done := signal.NotifyContext(ctx, os.Interrupt)
	defer done()
	if err := a.answer(ctx, question); err != nil && !errors.Is(err, errInterrupted) {
		fmt.Fprintf(a.log, "flashback: %v\n", err)
	}
	fmt.Fprintln(a.log)
}

// showSources prints the passages that were in sight of the last answer whole.
func (a *asker) showSources() {
	if len(a.turns) == 0 || a.turns[len(a.turns)-1].provenance == nil {
		fmt.Fprintln(a.log, "there are no sources")
		return
	}
	p := a.turns[len(a.turns)-1].provenance
	if len(p.Sources)+len(p.Unused) == 0 {
		fmt.Fprintln(a.log, notFound(*p))
	}
	for _, s := range p.Sources {
		fmt.Fprintf(a.out, "[%d] %s\n    %s\n%s\n\n", s.Number, sourceName(s.Passage), sourcePlace(s), s.Text)
	}
	for _, s := range p.Unused {
		fmt.Fprintf(a.out, "(in sight, but it made no difference) %s\n    %s\n%s\n\n", sourceName(s.Passage), sourcePlace(s), s.Text)
	}
}
