package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/terminal"
)

// quoted is how much of a sentence is repeated beside its source, in characters.
const quoted = 68

// printProvenance says what an answer is from.
func printProvenance(w io.Writer, p flashback.Provenance) {
	if !p.Found {
		fmt.Fprintln(w, notFound(p))
	}
	if len(p.Sources) == 0 {
		return
	}
	if p.Found {
		fmt.Fprintln(w, "Sources")
	} else {
		fmt.Fprintln(w, "The answer leans on")
	}
	for _, s := range p.Sources {
		fmt.Fprintf(w, "  [%d] %s\n", s.Number, sourceName(s.Passage))
		if at := sourcePlace(s); at != "" {
			fmt.Fprintf(w, "      %s\n", at)
		}
		for _, sentence := range quotedFrom(p, s.Number) {
			fmt.Fprintf(w, "      “%s”\n", excerpt(sentence, quoted))
		}
	}
}

// printInSight lists the passages that were in sight, where it is not known what they gave.
func printInSight(w io.Writer, t *flashback.Trace) {
	seen := map[string]bool{}
	for _, s := range t.Strides {
		for _, p := range s.Passages {
			name, at := sourceName(p.Passage), sourcePlace(flashback.Source{Passage: p.Passage})
			if seen[name+at] {
				continue
			}
			if len(seen) == 0 {
				fmt.Fprintln(w, "In sight while it was written")
			}
			seen[name+at] = true
			fmt.Fprintf(w, "  %s\n", name)
			if at != "" {
				fmt.Fprintf(w, "      %s\n", at)
			}
		}
	}
	if len(seen) == 0 {
		fmt.Fprintln(w, "Not in your documents: nothing in them fits the question.")
	}
}

// notFound says why an answer is not from the documents.
func notFound(p flashback.Provenance) string {
	switch {
	case len(p.Sources)+len(p.Unused) == 0:
		return "Not in your documents: nothing in them fits the question."
	case len(p.Sources) == 0:
		return "Not in your documents, it seems: the answer would be much the same without what was found there."
	}
	return "Not in your documents, it seems: what was found there speaks of too little of the question."
}

// quotedFrom returns the sentences that a source mattered to; none where it mattered to
// all, for then there is nothing to tell apart.
func quotedFrom(p flashback.Provenance, number int) []string {
	var sentences []string
	all := true
	for _, s := range p.Sentences {
		switch {
		case strings.TrimSpace(s.Text) == "":
		case slices.Contains(s.Sources, number):
			sentences = append(sentences, s.Text)
		default:
			all = false
		}
	}
	if all {
		return nil
	}
	return sentences
}

// sourceName is what people know a passage by: title and headings.
func sourceName(p flashback.Passage) string {
	if p.Heading == p.Title || strings.HasPrefix(p.Heading, p.Title+" > ") {
		return terminal.Line(cmp.Or(p.Heading, p.ID))
	}
	return terminal.Line(cmp.Or(retrieve.Breadcrumb(p.Title, p.Heading), p.ID))
}

// sourcePlace is where a passage can be opened: the path of its file where that is
// known, with line or page, and the id of a record that has one of its own.
func sourcePlace(s flashback.Source) string {
	p := s.Passage
	if s.Path != "" {
		p.ID = strings.Replace(p.ID, p.Source, s.Path, 1)
		p.Source = s.Path
	}
	return terminal.Line(place(p))
}

// marked returns an answer with the numbers of its sources behind each sentence.
func marked(p flashback.Provenance) string {
	var b strings.Builder
	for _, s := range p.Sentences {
		text := strings.TrimRight(s.Text, " \t\n")
		b.WriteString(text)
		for _, number := range s.Sources {
			fmt.Fprintf(&b, " [%d]", number)
		}
		b.WriteString(s.Text[len(text):])
	}
	return b.String()
}
