package main

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/term"
)

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
	}{&keyboard{in: in}, out}, "> ")}
}

// readLine returns the next line, or io.EOF. What was pasted is part of the line that
// it was pasted into, line breaks and all.
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
		line, err := t.editor.ReadLine()
		if errors.Is(err, term.ErrPasteIndicator) {
			err = nil
		}
		read <- typed{unbroken(line), err}
	}()
	select {
	case r := <-read:
		return r.line, r.err
	case <-t.ctx.Done():
		return "", io.EOF
	}
}
