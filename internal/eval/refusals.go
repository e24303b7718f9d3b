package eval

import (
	"fmt"
	"io"
	"strings"
)

// Refusals is how often rows say that an answer is not in the documents, of questions
// that have all their answers.
type Refusals struct {
	Questions int
	Rows      []RowRefusals
}

// RowRefusals is a row of it, in percent, with intervals from a bootstrap over questions.
type RowRefusals struct {
	Row     QARow
	Rightly Estimate // of questions whose article was left out
	Wrongly Estimate // of the same questions with it
	// Lost is the share of answers that are refused of those that a right answer stands in.
	Lost Estimate
}

// Looking returns the rows that look where an answer is from: those with evidence.
func Looking(rows []QARow) []QARow {
	var looking []QARow
	for _, r := range rows {
		if r.K > 0 && !r.Pasted {
			looking = append(looking, r)
		}
	}
	return looking
}

// Refusals adds up the questions, and the same ones that Unanswerable made of them, for
// the rows that look.
func (a *Answers) Refusals(rows []QARow, questions, unanswerable []Question) Refusals {
	var r Refusals
	looked := Looking(rows)
	with, without := map[string][]Answer{}, map[string][]Answer{}
	for i, q := range questions {
		all := true
		for _, row := range looked {
			for _, q := range []Question{q, unanswerable[i]} {
				answer, ok := a.of(row, q)
				all = all && ok && answer.Refused != nil
			}
		}
		if !all {
			continue
		}
		r.Questions++
		for _, row := range looked {
			name := row.String()
			w, _ := a.of(row, q)
			o, _ := a.of(row, unanswerable[i])
			with[name], without[name] = append(with[name], w), append(without[name], o)
		}
	}
	if r.Questions == 0 {
		return r
	}
	refused := func(a Answer) float64 { return percent(*a.Refused) }
	for _, row := range looked {
		answers := with[row.String()]
		var right []Answer
		for _, a := range answers {
			if a.InAnswer {
				right = append(right, a)
			}
		}
		refusals := RowRefusals{Row: row, Rightly: mean(each(without[row.String()], refused)), Wrongly: mean(each(answers, refused))}
		if len(right) > 0 {
			refusals.Lost = mean(each(right, refused))
		}
		r.Rows = append(r.Rows, refusals)
	}
	return r
}

// Markdown writes it as a table.
func (r Refusals) Markdown(w io.Writer) error {
	var b strings.Builder
	if r.Questions == 0 {
		b.WriteString("\nNo question is answered with and without its article by every row.\n")
	} else {
		fmt.Fprintf(&b, "\n\"Not in your documents\" of %s, in percent:\n\n", number(r.Questions, "question"))
		b.WriteString("| row | rightly: its article is left out | wrongly: it is there | of right answers |\n|---|---:|---:|---:|\n")
		for _, row := range r.Rows {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", row.Row, share(row.Rightly), share(row.Wrongly), share(row.Lost))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
