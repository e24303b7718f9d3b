package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25/analysis"
	"github.com/flashback-lm/flashback/internal/snippet"
	"github.com/flashback-lm/flashback/internal/terminal"
)

// snippetSize is how much of a passage is shown, in bytes: about five lines.
const snippetSize = 360

// hitPrinter writes passages that were found for people.
type hitPrinter struct {
	out       io.Writer // changes nothing
	analyzer  string
	full      bool
	open, end string // around the words that matched
}

func newHitPrinter(out io.Writer, analyzer string, full bool) *hitPrinter {
	return &hitPrinter{out: out, analyzer: analyzer, full: full, open: "[", end: "]"}
}

// print writes one passage: title, score and place, headings, and its text in the
// lines that it has.
func (h *hitPrinter) print(query string, rank int, p retrieve.Passage) error {
	hits, err := analysis.Find(h.analyzer, query, p.Text)
	if err != nil {
		return err
	}
	spans := make([]snippet.Span, len(hits))
	for i, hit := range hits {
		spans[i] = snippet.Span(hit)
	}
	size := snippetSize
	if h.full {
		size = len(p.Text)
	}
	part := snippet.Around(p.Text, spans, size)

	var b strings.Builder
	fmt.Fprintf(&b, "%d. %s  (%.2f)", rank, terminal.Line(p.Title), p.Score)
	if at := place(p); at != p.Title {
		b.WriteString("  " + terminal.Line(at))
	}
	b.WriteString("\n")
	if p.Heading != "" && p.Heading != p.Title {
		b.WriteString("   " + terminal.Line(p.Heading) + "\n")
	}
	text := h.marked(p.Text, part, spans)
	if strings.TrimSpace(p.Text[:part.Start]) != "" {
		text = "… " + text
	}
	if strings.TrimSpace(p.Text[part.End:]) != "" {
		text += " …"
	}
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(strings.TrimRight("   "+line, " \t") + "\n")
	}
	b.WriteString("\n")
	_, err = io.WriteString(h.out, b.String())
	return err
}

// marked returns a part of a text with the hits in it marked.
func (h *hitPrinter) marked(text string, part snippet.Span, hits []snippet.Span) string {
	var b strings.Builder
	done := part.Start
	for _, hit := range hits {
		if hit.Start < done || hit.End > part.End {
			continue
		}
		b.WriteString(terminal.Text(text[done:hit.Start]))
		b.WriteString(h.open + terminal.Text(text[hit.Start:hit.End]) + h.end)
		done = hit.End
	}
	b.WriteString(terminal.Text(text[done:part.End]))
	return b.String()
}

// place says where a passage is from: its file, with the page or line where that is
// known, and the id of a record that has one of its own.
func place(p retrieve.Passage) string {
	if p.Source == "" {
		return p.ID
	}
	at := p.Source
	switch {
	case p.Page > 0:
		at += fmt.Sprintf(", page %d", p.Page)
	case p.Line > 0:
		at += fmt.Sprintf(":%d", p.Line)
	}
	if !strings.HasPrefix(p.ID, p.Source) {
		at += "  " + p.ID
	}
	return at
}

// writeHit writes a passage as a line of JSON.
func writeHit(w io.Writer, topic string, rank int, p retrieve.Passage) error {
	line, err := json.Marshal(struct {
		Topic string `json:"topic,omitempty"`
		Rank  int    `json:"rank"`
		retrieve.Passage
	}{topic, rank, p})
	if err != nil {
		return err
	}
	_, err = w.Write(append(terminal.JSON(line), '\n'))
	return err
}
