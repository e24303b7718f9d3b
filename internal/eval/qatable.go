package eval

import (
	"fmt"
	"io"
	"strings"
)

// Markdown writes the result as a table.
func (r QAResult) Markdown(w io.Writer) error {
	var b strings.Builder
	if r.Questions == 0 {
		b.WriteString("No question is answered by every row.\n")
	} else {
		r.table(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// column is one of the table; a row for which cell returns "" has a dash.
type column struct {
	head string
	cell func(QARowResult) string
}

func (r QAResult) table(b *strings.Builder) {
	columns := []column{{"in answer, %", func(row QARowResult) string { return share(row.InAnswer) }}}
	compared := func(cell func(QARowResult) string) func(QARowResult) string {
		return func(row QARowResult) string {
			if row.Row.String() == r.Against {
				return ""
			}
			return cell(row)
		}
	}
	if r.Against != "" {
		columns = append(columns, column{"against " + r.Against, compared(func(row QARowResult) string {
			d := row.Difference
			return fmt.Sprintf("%+.1f (%+.1f – %+.1f)", d.Value, d.Low, d.High)
		})})
	}
	columns = append(columns,
		column{"exact match, %", func(row QARowResult) string { return share(row.Exact) }},
		column{"F1, %", func(row QARowResult) string { return share(row.F1) }},
		column{"gold shown by stride, %", func(row QARowResult) string { return shown(row.GoldShown) }},
		column{"tokens computed", func(row QARowResult) string { return fmt.Sprintf("%.0f", row.Computed) }},
	)
	if r.Against != "" {
		columns = append(columns, column{"× " + r.Against, compared(func(row QARowResult) string { return fmt.Sprintf("%.2f", row.Times) })})
	}
	columns = append(columns, column{"ms", func(row QARowResult) string { return fmt.Sprintf("%.0f", row.MS) }})

	fmt.Fprintf(b, "%s; 95 %% intervals", number(r.Questions, "question"))
	if r.Against != "" {
		b.WriteString(", those of differences paired")
	}
	b.WriteString("; tokens and ms a question.\n\n| row |")
	for _, c := range columns {
		fmt.Fprintf(b, " %s |", c.head)
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(columns)) + "\n")
	for _, row := range r.Rows {
		fmt.Fprintf(b, "| %s |", row.Row)
		for _, c := range columns {
			cell := c.cell(row)
			if cell == "" {
				cell = "-"
			}
			fmt.Fprintf(b, " %s |", cell)
		}
		b.WriteByte('\n')
	}
}

func share(e Estimate) string { return fmt.Sprintf("%.1f (%.1f – %.1f)", e.Value, e.Low, e.High) }

func shown(byStride []float64) string {
	var all []string
	for _, v := range byStride {
		all = append(all, fmt.Sprintf("%.0f", v))
	}
	return strings.Join(all, " / ")
}

func number(n int, of string) string {
	if n != 1 {
		of += "s"
	}
	return fmt.Sprintf("%d %s", n, of)
}
