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
	"unicode/utf8"

	"golang.org/x/term"

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
		if errors.Is(err, errCut) {
			fmt.Fprintf(a.log, "flashback: %v\n", err)
			continue
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

// lineEditor reads lines with editing and history. Between the lines the terminal
// is as it was, so that Ctrl-C is a signal there.
type lineEditor struct {
	ctx    context.Context // its end ends the lines
	in     *os.File
	editor *term.Terminal
}

func newLineEditor(ctx context.Context, in *os.File, out io.Writer) *lineEditor {
	return &lineEditor{ctx, in, term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, out}, "> ")}
}

// maxTyped is how many characters a line of the editor takes; it drops the others.
const maxTyped = 4096

var errCut = fmt.Errorf("a line takes %d characters and the rest was dropped; ask what is longer from a file: flashback ask … < question.txt", maxTyped)

// readLine returns the next line, or io.EOF. Lines that were pasted, not typed,
// belong to the line that follows them.
func (t *lineEditor) readLine() (string, error) {
	fd := int(t.in.Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return "", err
	}
	defer term.Restore(fd, before)
	t.editor.SetBracketedPasteMode(true)
	defer t.editor.SetBracketedPasteMode(false)
	if width, height, err := term.GetSize(fd); err == nil && width > 0 {
		t.editor.SetSize(width, height)
	}
	type typed struct {
		line string
		err  error
	}
	read := make(chan typed, 1)
	go func() {
		line, err := joinPasted(t.editor.ReadLine)
		read <- typed{line, err}
	}()
	select {
	case r := <-read:
		return r.line, r.err
	case <-t.ctx.Done():
		return "", io.EOF
	}
}

// joinPasted returns the next line that was typed behind all that were pasted in
// front of it.
func joinPasted(readLine func() (string, error)) (string, error) {
	pasted := ""
	for cut := false; ; {
		line, err := readLine()
		cut = cut || utf8.RuneCountInString(line) >= maxTyped
		switch {
		case errors.Is(err, term.ErrPasteIndicator):
			pasted += line + "\n"
		case err == nil && cut:
			return "", errCut
		default:
			return pasted + line, err
		}
	}
}
