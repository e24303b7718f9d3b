package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/flashback-lm/flashback/internal/terminal"
)

// save writes the conversation to a Markdown file. A file that is there is replaced
// only if this conversation was saved to it before.
func (a *asker) save(file string) error {
	switch {
	case file == "":
		return errors.New("name the file: /save FILE")
	case len(a.turns) == 0:
		return errors.New("nothing has been asked yet")
	}
	how := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if file != a.saved {
		how |= os.O_EXCL
	}
	f, err := os.OpenFile(file, how, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: name another file", file)
	}
	if err != nil {
		return err
	}
	w := terminal.NewWriter(f)
	writeConversation(w, a.turns)
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return err
	}
	a.saved = file
	fmt.Fprintf(a.log, "saved to %s\n", file)
	return nil
}

// writeConversation writes questions as quotations, answers with the numbers of their
// sources, and the sources of each answer below it.
func writeConversation(w io.Writer, turns []turn) {
	fmt.Fprint(w, "# Conversation\n")
	for _, t := range turns {
		fmt.Fprintf(w, "\n> %s\n\n", strings.ReplaceAll(t.question, "\n", "\n> "))
		p := t.provenance
		if p == nil {
			fmt.Fprintf(w, "%s\n", strings.TrimSpace(t.answer))
			continue
		}
		fmt.Fprintf(w, "%s\n", strings.TrimSpace(marked(*p)))
		if !p.Found {
			fmt.Fprintf(w, "\n%s\n", notFound(*p))
		}
		for _, s := range p.Sources {
			fmt.Fprintf(w, "\n[%d] %s, `%s`\n", s.Number, sourceName(s.Passage), sourcePlace(s))
		}
	}
}
