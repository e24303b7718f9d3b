package eval

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// Markdown writes the result as tables.
func (r Result) Markdown(w io.Writer) error {
	var b strings.Builder
	if r.Windows == 0 {
		b.WriteString("No window is complete for every row.\n")
	} else {
		r.rows(&b)
		r.differences(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Result) rows(b *strings.Builder) {
	fmt.Fprintf(b, "%d windows, %d tokens, %d words.\n\n", r.Windows, r.Rows[0].Tokens, r.Rows[0].Words)
	b.WriteString("| row | perplexity by token | 95 % interval | by word | 95 % interval |\n|---|---:|---:|---:|---:|\n")
	for _, row := range r.Rows {
		t, w := row.Token, row.Word
		fmt.Fprintf(b, "| %s | %s | %s – %s | %s | %s – %s |\n", row.Row,
			figure(t.Value), figure(t.Low), figure(t.High), figure(w.Value), figure(w.Low), figure(w.High))
	}
}

func (r Result) differences(b *strings.Builder) {
	if len(r.Differences) == 0 {
		return
	}
	b.WriteString("\n| rows | difference by token | 95 % interval, paired | lower in |\n|---|---:|---:|---:|\n")
	for _, d := range r.Differences {
		fmt.Fprintf(b, "| %s against %s | %+.1f %% | %+.1f %% – %+.1f %% | %d of %d windows |\n", d.A, d.B,
			100*d.Relative.Value, 100*d.Relative.Low, 100*d.Relative.High, d.Lower, r.Windows)
	}
}

// figure writes a perplexity with as many digits as mean something.
func figure(v float64) string {
	switch {
	case math.IsInf(v, 0) || math.IsNaN(v):
		return "-" // a text without words
	case v < 1000:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.4g", v)
}
