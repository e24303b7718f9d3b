package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/terminal"
)

// errInterrupted is the failure of a command that Ctrl-C stopped.
var errInterrupted = errors.New("interrupted")

// follower shows a generation while it is written and collects its trace.
type follower struct {
	flashback.Trace
	out     io.Writer // gets the text
	strides io.Writer // gets each stride's passages, where not nil
}

// follow reads the events to their end. Text that a cancellation cut off is an
// answer too: the error is errInterrupted, and the trace has its Finish.
func (f *follower) follow(events iter.Seq2[flashback.Event, error]) error {
	for event, err := range events {
		if err != nil {
			return err
		}
		f.Add(event)
		text := ""
		switch e := event.(type) {
		case flashback.Stride:
			if f.strides != nil {
				printStride(f.strides, e)
			}
		case flashback.Token:
			text = e.Text
		case flashback.Finish:
			text = e.Text
		}
		if text == "" {
			continue
		}
		if _, err := io.WriteString(f.out, text); err != nil {
			return fmt.Errorf("cannot write the text: %w", err)
		}
	}
	if f.Finish != nil && f.Finish.Reason == ralm.Cancelled {
		return errInterrupted
	}
	return nil
}

// printStride shows the passages of one stride.
func printStride(w io.Writer, s flashback.Stride) {
	fmt.Fprintf(w, "\n[stride %d: %d tokens of context, %s", s.Index, s.Context, s.Placement)
	if s.Query != "" {
		fmt.Fprintf(w, ", looked up %q in %.1f ms", s.Query, s.Retrieve.Seconds()*1e3)
	}
	fmt.Fprintln(w, "]")
	for i, p := range s.Passages {
		fmt.Fprintf(w, "  %d. %s", i+1, sourceLine(p.Passage))
		if p.Weight > 0 {
			fmt.Fprintf(w, ", weight %.2f", p.Weight)
		}
		fmt.Fprintf(w, ", %d tokens: %s\n", p.Tokens, excerpt(p.Text, 80))
	}
}

// sourceLine names a passage: title, file, score.
func sourceLine(p flashback.Passage) string {
	name := cmp.Or(p.Title, p.ID)
	if p.Source != "" && p.Source != name && !strings.HasSuffix(p.Source, "/"+name) {
		name += " (" + p.Source + ")"
	}
	return fmt.Sprintf("%s, score %.2f", terminal.Line(name), p.Score)
}

// excerpt returns the beginning of a text on one line.
func excerpt(text string, length int) string {
	words := strings.Join(strings.Fields(text), " ")
	for i := range words {
		if length--; length < 0 {
			return words[:i] + "…"
		}
	}
	return words
}

// printSummary says in one line what was done.
func printSummary(w io.Writer, f flashback.Finish) {
	c := f.Counts
	fmt.Fprintf(w, "%d tokens in %.1f s", f.Tokens, duration(f).Seconds())
	if f.Tokens > 0 {
		fmt.Fprintf(w, ", %.1f ms a token", msPerToken(f))
	}
	fmt.Fprintf(w, "; prompt %d, prefilled %d, decoded %d, reused %d; evidence %d, reused %d",
		c.Prompt, c.Prefilled, c.Decoded, c.Reused, c.Evidence, c.EvidenceReused)
	if c.PromptReused > 0 {
		fmt.Fprintf(w, "; of earlier texts %d", c.PromptReused)
	}
	if c.Drafted > 0 {
		fmt.Fprintf(w, "; guessed %d, accepted %.0f %%", c.Drafted, 100*float64(c.Accepted)/float64(c.Drafted))
	}
	fmt.Fprintf(w, "; ended: %s\n", f.Reason)
}

// duration is the time from the start to the last token, all included.
func duration(f flashback.Finish) time.Duration { return f.FirstToken + f.Decode }

func msPerToken(f flashback.Finish) float64 {
	return duration(f).Seconds() * 1e3 / float64(f.Tokens)
}

// tracedText is what --json prints.
type tracedText struct {
	Model     string `json:"model"`
	Kernels   string `json:"kernels"`
	Threads   int    `json:"threads"`
	Placement string `json:"placement"`
	Prompt    string `json:"prompt,omitempty"`
	Question  string `json:"question,omitempty"`
	Text      string `json:"text"`
	*flashback.Trace
	Verify *flashback.VerifyReport `json:"verify,omitempty"`
}

func traced(r flashback.Request, e *flashback.Engine, t *flashback.Trace) tracedText {
	info := e.Info()
	j := tracedText{Model: info.Model, Kernels: info.Kernels, Threads: info.Threads, Placement: r.Placement, Text: t.Text(), Trace: t}
	if r.Verify != nil {
		report := r.Verify.Report()
		j.Verify = &report
	}
	return j
}
