package eval

import "strings"

// QAResult is what the questions say that every row has an answer to.
type QAResult struct {
	Questions int
	Rows      []QARowResult
	Against   string // the row that others are compared with; "": none
}

// QARowResult is a row of the table. Shares are in percent of the questions, with
// intervals from a bootstrap over them.
type QARowResult struct {
	Row QARow
	// InAnswer counts answers in which a right one stands, Exact those that are one.
	InAnswer, Exact, F1 Estimate
	// Difference is InAnswer less that of the row compared with, in points; drawn
	// together, so what makes a question hard for both does not widen it.
	Difference Estimate
	// GoldShown is in percent how often the gold passage was among those shown, by
	// stride, of the answers that had that stride; strides that hardly any had are left
	// out, and all where questions name none.
	GoldShown []float64
	Computed  float64 // tokens a question
	Times     float64 // Computed, as a multiple of that of the row compared with
	MS        float64 // a question
}

// Summarise adds up the questions that every row has an answer to. against is the row
// to compare with, by its name, or "".
func (a *Answers) Summarise(rows []QARow, questions []Question, against string) QAResult {
	answers := map[string][]Answer{}
	result := QAResult{Against: against}
	var asked []Question
	for _, q := range questions {
		var all []Answer
		for _, r := range rows {
			if answer, ok := a.of(r, q); ok {
				all = append(all, answer)
			}
		}
		if len(all) < len(rows) {
			continue
		}
		asked = append(asked, q)
		for i, r := range rows {
			answers[r.String()] = append(answers[r.String()], all[i])
		}
	}
	if result.Questions = len(asked); len(asked) == 0 {
		return result
	}
	inAnswer := func(a Answer) float64 { return percent(a.InAnswer) }
	base := answers[against]
	for _, r := range rows {
		of := answers[r.String()]
		row := QARowResult{
			Row: r, InAnswer: mean(each(of, inAnswer)),
			Exact:     mean(each(of, func(a Answer) float64 { return percent(a.Exact) })),
			F1:        mean(each(of, func(a Answer) float64 { return 100 * a.F1 })),
			GoldShown: goldShown(of, asked),
			Computed:  average(each(of, func(a Answer) float64 { return float64(a.Computed()) })),
			MS:        average(each(of, func(a Answer) float64 { return a.MS })),
		}
		if base != nil {
			differences := each(of, inAnswer)
			for i, b := range base {
				differences[i] -= inAnswer(b)
			}
			row.Difference = mean(differences)
			row.Times = row.Computed / average(each(base, func(a Answer) float64 { return float64(a.Computed()) }))
		}
		result.Rows = append(result.Rows, row)
	}
	return result
}

// seldom is the share of answers under which a stride is left out: what few had says
// nothing.
const seldom = 0.05

// goldShown returns in percent, for each stride, how often the gold passage was shown.
func goldShown(answers []Answer, questions []Question) []float64 {
	var shown, had []float64
	for i, a := range answers {
		gold := questions[i].PassageID
		if gold == "" {
			continue
		}
		for s, ids := range a.Strides {
			if s == len(had) {
				shown, had = append(shown, 0), append(had, 0)
			}
			had[s]++
			for _, id := range ids {
				if ofDocument(id, gold) {
					shown[s]++
					break
				}
			}
		}
	}
	for s := range shown {
		if had[s] < seldom*float64(len(answers)) {
			return shown[:s]
		}
		shown[s] *= 100 / had[s]
	}
	return shown
}

// ofDocument reports whether a passage is the document, or cut from it: its id is then
// the document's and a place in it.
func ofDocument(id, document string) bool {
	rest, ok := strings.CutPrefix(id, document)
	return ok && (rest == "" || rest[0] == '#')
}

func each(answers []Answer, value func(Answer) float64) []float64 {
	values := make([]float64, len(answers))
	for i, a := range answers {
		values[i] = value(a)
	}
	return values
}

func percent(is bool) float64 {
	if is {
		return 100
	}
	return 0
}

// mean is the average of values with its interval.
func mean(values []float64) Estimate {
	return bootstrap(len(values), func(draw []int) float64 {
		sum := 0.0
		for _, i := range draw {
			sum += values[i]
		}
		return sum / float64(len(draw))
	})
}

func average(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
