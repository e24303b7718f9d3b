package eval

import (
	"fmt"
	"io"
	"strings"
)

// Markdown writes the result as tables.
func (r ChatResult) Markdown(w io.Writer) error {
	var b strings.Builder
	if len(r.Kinds) == 0 {
		b.WriteString("No conversation is held by every row.\n")
	}
	for i, k := range r.Kinds {
		if i > 0 {
			b.WriteByte('\n')
		}
		k.markdown(&b, r.Turns)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// title says what the conversations have in common.
func (k ChatKind) title() string {
	if k.Changes {
		return "new passages in each turn"
	}
	return "the same passages in every turn"
}

func (k ChatKind) markdown(b *strings.Builder, turns int) {
	all := append(k.Layouts[:len(k.Layouts):len(k.Layouts)], k.Baselines...)
	fmt.Fprintf(b, "%s of %d turns, %s. Tokens computed a turn:\n\n| turn |", number(k.Conversations, "conversation"), turns, k.title())
	for _, l := range all {
		fmt.Fprintf(b, " %s |", l.Name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(all)) + "\n")
	for turn := range turns {
		fmt.Fprintf(b, "| %d |", turn+1)
		for _, l := range all {
			fmt.Fprintf(b, " %.0f |", l.Computed[turn])
		}
		b.WriteByte('\n')
	}
	b.WriteString("\nAs a multiple of pasting, with 95 % intervals:\n\n| row | first turn, × (i) |")
	for _, l := range k.Baselines {
		fmt.Fprintf(b, " later turns, × %s |", l.Name)
	}
	b.WriteString("\n|---|---:|" + strings.Repeat("---:|", len(k.Baselines)) + "\n")
	for _, l := range k.Layouts {
		fmt.Fprintf(b, "| %s | %s |", l.Name, times(l.First[0])) // a first turn is the same in all
		for _, e := range l.Later {
			fmt.Fprintf(b, " %s |", times(e))
		}
		b.WriteByte('\n')
	}
	b.WriteString("\nRight answers in the answers, %:\n\n| row |")
	for turn := range turns {
		fmt.Fprintf(b, " %d |", turn+1)
	}
	b.WriteString(" all |\n|---|" + strings.Repeat("---:|", turns+1) + "\n")
	named := map[string]bool{}
	for _, l := range all {
		if named[l.Row] {
			continue // both costs of a pasted row are of the same answers
		}
		named[l.Row] = true
		fmt.Fprintf(b, "| %s |", l.Row)
		for _, v := range l.Right {
			fmt.Fprintf(b, " %.0f |", v)
		}
		fmt.Fprintf(b, " %.1f |\n", l.All)
	}
}

func times(e Estimate) string { return fmt.Sprintf("%.2f (%.2f – %.2f)", e.Value, e.Low, e.High) }
